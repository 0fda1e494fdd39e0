"""Faults planted in files of the package, one at a time: do the tests see them?

    python tests/mutants/run.py [WORD …]        (only faults whose file or new text holds one of the words)

Every fault is one replacement in a copy of the package; a text that is not found exactly once is an error.  Its tests
run one file after the other, until one fails.  Exits with 1 where fewer than 90 % are caught.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "varinv"

# the file below varinv/; test files anywhere below tests/, where name[word] runs only the tests whose id holds [word];
# the text; the fault
MUTANTS = [
    ("solvers/chambolle_pock.py", "test_proof[ChambollePock] test_solvers", "tau = self.tau if self.tau is not None else (0.99 / total", "tau = self.tau if self.tau is not None else (3 / total"),
    ("solvers/chambolle_pock.py", "test_proof[ChambollePock] test_solvers", "return ChambollePockState(x, x_bar, y, theta * s.tau", "return ChambollePockState(x, x, y, theta * s.tau"),
    ("solvers/chambolle_pock.py", "test_proof[ChambollePock] test_solvers", "tuple(sigma / theta for sigma in s.sigma), s.k + 1)", "tuple(sigma * theta for sigma in s.sigma), s.k + 1)"),
    ("solvers/adaptive_chambolle_pock.py", "test_proof[AdaptiveChambollePock] test_primal_dual", "problem.coupled, s.y, s.u, s.tau, sigma, RELAXATION,", "problem.coupled, s.y, s.x, s.tau, sigma, RELAXATION,"),
    ("solvers/adaptive_chambolle_pock.py", "test_proof[AdaptiveChambollePock] test_primal_dual", "RELAXATION = 1.9", "RELAXATION = 2.3"),
    ("solvers/adaptive_chambolle_pock.py", "test_proof[AdaptiveChambollePock] test_primal_dual", "s.y, s.u, s.tau, sigma, RELAXATION,", "s.y, s.u, s.tau, sigma, -RELAXATION,"),
    ("solvers/spdhg.py", "test_proof[SPDHG] test_primal_dual", "z_bar = add_scaled(z, 1 / b.p, delta)", "z_bar = add_scaled(z, -1 / b.p, delta)"),
    ("solvers/spdhg.py", "test_proof[SPDHG] test_primal_dual", "            z = add_scaled(z, 1.0, delta)\n", ""),
    ("solvers/spdhg.py", "test_proof[SPDHG] test_primal_dual", "b.K.adjoint(add_scaled(y[i], -1.0, old))", "b.K.adjoint(old)"),
    ("solvers/condat_vu.py", "test_proof[CondatVu] test_primal_dual", "tau = 0.99 / (total + L / 2)", "tau = 9.9 / (total + L / 2)"),
    ("solvers/cg.py", "test_proof[CG] test_cg", "add_scaled(r, gamma / s.gamma, s.p), max(", "add_scaled(r, s.gamma / gamma, s.p), max("),
    ("solvers/cg.py", "test_proof[CG] test_cg", "x, r = add_scaled(s.x, alpha, s.p), add_scaled(s.r, -alpha, Hp)", "x, r = add_scaled(s.x, alpha, s.p), add_scaled(s.r, alpha, Hp)"),
    ("operators/krylov.py", "test_proof[CGLS] test_cgls", "q = A.forward(s.p)", "q = A.forward(s.x)"),
    ("operators/krylov.py", "test_proof[CGLS] test_cgls", "slope = A.adjoint(weigh(r))\n", "slope = A.adjoint(r)\n"),
    ("solvers/lsqr.py", "test_proof[LSQR] test_cg", "cos, sin = s.rho_bar / rho, beta / rho", "cos, sin = beta / rho, s.rho_bar / rho"),
    ("solvers/lsqr.py", "test_proof[LSQR] test_lsqr test_warm_start", "u = tuple(-a for a in residuals(squares, x))", "u = tuple(-a for a in residuals(squares, 0 * x))"),
    ("solvers/fista.py", "test_proof[FISTA] test_gradient_methods", "z = add_scaled(s.x, beta, s.x - s.x_old)", "z = add_scaled(s.x, -beta, s.x - s.x_old)"),
    ("solvers/fista.py", "test_proof[FISTA] test_gradient_methods", "return new, (t - 1) / new *", "return new, (t + 1) / new *"),
    ("solvers/proximal_gradient.py", "test_proof[ProximalGradient] test_gradient_methods", "ProximalGradientState(x, y, 1.5 * tau if seen else tau, s.k + 1)", "ProximalGradientState(s.x, y, 1.5 * tau if seen else tau, s.k + 1)"),
    ("solvers/forward_backward.py", "test_proof[ProximalGradient] test_gradient_methods", "    x = prox(g, v, tau)", "    x = prox(g, v, 1.0)"),
    ("solvers/admm.py", "test_proof[ADMM] test_admm", "w = tuple(r * (v - b) for v, b, r", "w = tuple((v - b) for v, b, r"),
    ("solvers/admm.py", "test_proof[ADMM] test_admm", "z = tuple(t.f.prox(v, 1 / r)", "z = tuple(t.f.prox(v, r)"),
    ("solvers/sirt.py", "test_proof[SIRT] test_row_action", "new = x + relaxation * C * K.adjoint(r * (square(term).beside(z)[0] - z))", "new = x + relaxation * C * K.adjoint(square(term).beside(z)[0] - z)"),
    ("solvers/sirt.py", "test_proof[SART] test_row_action", "inverse(largest([sums(piece, x)[1] for piece in pieces]))", "inverse(sums(pieces[0], x)[1])"),
    ("solvers/mlem.py", "test_proof[MLEM] test_mlem", "return 1 - xp.where(counted, y / xp.where(counted, u", "return 1 - xp.where(counted, y / xp.where(counted, z"),
    ("solvers/mlem.py", "test_proof[OSEM] test_mlem", "x = corrected(piece, dual(piece, x), c, x)", "x = corrected(piece, dual(piece, s.x), c, x)"),
    ("solvers/landweber.py", "test_proof[NuMethod] test_row_action", "add_scaled(x, mu, s.x - s.before)", "add_scaled(x, mu, s.before - s.x)"),
    ("solvers/mmgks.py", "test_proof[MMGKS] test_mmgks", "        z = _solve(H + lam * M, b + lam * c)", "        z = _solve(H + lam * M / 2, b + lam * c)"),
    ("solvers/rules.py", "test_proof[CG] test_result", "self.best = max(self.best, dual)", "self.best = dual"),
    ("solvers/checkpoint.py", "test_proof[CG] test_checkpoint", "every, wait = self.checkpoint.every", "every, wait = None"),
    # MOVED
    ("forms.py", "test_functionals_fused test_forms", "return Quadratic(C / W, W, lo, hi)", "return Quadratic(C / W, W, lo)"),
    ("forms.py", "test_functionals_fused test_forms", "(other.y, other.weight) if self.flat else (self.y, self.weight)", "(other.y, other.weight) if other.flat else (self.y, self.weight)"),
    ("forms.py", "test_functionals_fused test_forms", "xp.where(down, lo, 0.0 * q) * q + xp.where(up, hi, 0.0 * q) * q", "xp.where(up, lo, 0.0 * q) * q + xp.where(down, hi, 0.0 * q) * q"),
    ("forms.py", "test_forms test_certificate", "math.sqrt(inverse * 2 * max(value, 0.0))", "math.sqrt(inverse * max(value, 0.0))"),
    ("forms.py", "test_forms test_certificate", "slope = b + price(1.0, t)", "slope = b"),
    ("forms.py", "test_forms test_certificate", "return lambda t: (qq + 2 * t * q1 + t * t * one, qy + t * y1)", "return lambda t: (qq + t * q1 + t * t * one, qy + t * y1)"),
    ("certificate.py", "test_certificate", "T * max(a * need - b, 0.0) + a * unseen - held(a, b)", "T * max(a * need - b, 0.0) - held(a, b)"),
    ("certificate.py", "test_certificate", "return bool(term.f.grows) and isinstance(term.K.form(), Differences)", "return True"),
    ("certificate.py", "test_certificate", "if is_array(box.lo) else box.lo >= 0", "if is_array(box.lo) else True"),
    ("certificate.py", "test_certificate", "or hasattr(term.f, \"lifted\")) and term.K.absolute() is term.K", "or hasattr(term.f, \"lifted\"))"),
    ("functionals/data.py", "test_forms test_certificate", "return 2 * (max(value, 0.0) + math.log(2)", "return (max(value, 0.0) + math.log(2)"),
    ("functionals/data.py", "test_mlem", "return Counts(self.y, self.background)", "return Counts(self.y)"),
    ("functionals/base.py", "test_forms", "form._replace(weight=self.lam * weight)", "form"),
    ("functionals/base.py", "test_forms test_certificate", "price(a, lam * b) / lam, need / lam))", "price(a, b) / lam, need / lam))"),
    ("functionals/base.py", "test_own_classes", "DEFINING = (\"__call__\", \"prox\", \"prox_conj\", \"conj\", \"grad\")", "DEFINING = (\"prox\", \"prox_conj\", \"grad\")"),
    ("functionals/base.py", "test_own_classes", "(\"form\", \"total\", \"lifted\",", "(\"total\", \"lifted\","),
    ("capabilities.py", "test_own_classes test_own_operators", "if not at or at[0] <= newest:", "if not at or at[0] >= newest:"),
    ("capabilities.py", "test_own_classes", "if default is None or (abstract and", "if default is not None and (abstract and"),
    ("operators/traits.py", "test_own_operators", "*(\"form\", \"norm\", \"absolute\",", "*(\"form\", \"absolute\","),
    ("joint.py", "test_problem", "left, quadratics = (*left, *boxes), [", "left, quadratics = left, ["),
    ("joint.py", "test_functionals_fused", "/ shrunk, step / shrunk))", "/ shrunk, step))"),
    ("joint.py", "test_functionals_fused", "self.rest.prox(z, 1 / g.weight))", "self.rest.prox(z, g.weight))"),
    ("joint.py", "test_problem", "and (t.f.separable or not images)), None)", "), None)"),
    ("fused/table.py", "test_functionals_fused", "TABLE.get((role, type(form), type(place)))) is not None", "TABLE.get((role, type(form), None))) is not None"),
    ("fused/steps.py", "test_functionals_fused", "if slope is None else (add_scaled(slope, 1.0, last), True)", "if slope is None else (slope, True)"),
    ("fused/steps.py", "test_functionals_fused", "slope, spare = _slope(operators, y, skip=inside)", "slope, spare = _slope(operators, y)"),
    ("fused/steps.py", "test_functionals_fused", "return new if relaxation == 1 else relaxed(y, new, relaxation, spare)", "return new"),
    ("fused/steps.py", "test_functionals_fused", "spare = K.fresh if total is None else True", "spare = True"),
    ("fused/quadratic.py", "test_functionals_fused", "    if f.boxed or f.flat:\n        return None\n", ""),
    ("fused/quadratic.py", "test_joint_steps", "else q - w * away\n", "else q + w * away\n"),
    ("fused/sweep.py", "test_functionals_fused", "if not (g.numbers and f.groups):", "if not g.numbers:"),
    ("memory.py", "test_memory", "return remembered(self, method, lambda: method(self))", "return remembered(self, method.__name__, lambda: method(self))"),
    ("memory.py", "test_memory", "return isinstance(value, Memory) or isinstance(", "return isinstance("),
    ("arrays.py", "test_array_views", "        return x.numpy()\n    except (TypeError", "        return x.numpy().copy()\n    except (TypeError"),
    ("arrays.py", "test_array_views", "    if sys.modules[\"torch\"].is_grad_enabled():\n", "    if not sys.modules[\"torch\"].is_grad_enabled():\n"),
    ("arrays.py", "test_array_kinds", "Kind(\"dask\", take=_dask, contains=True)", "Kind(\"dask\", take=_container, contains=True)"),
    ("arrays.py", "test_array_kinds", "Kind(\"numpy.ma\", take=_masked, contains=True)", "Kind(\"numpy.ma\", take=_plain, contains=True)"),
    ("arrays.py", "test_array_kinds", "return taken(who, name, x.__array__())", "return np.asarray(x)"),
    ("views.py", "test_array_views", "if not type(value).__module__.startswith(\"varinv.\") or not dataclasses", "if not dataclasses"),
    ("views.py", "test_array_views", "    if kind is None or kind.view is None or kind.library in HOME:\n", "    if kind is not None:\n"),
    ("first_use.py", "test_first_use", "return time.perf_counter() - compile_seconds()", "return time.perf_counter()"),
    ("first_use.py", "test_first_use", "        if not self.said:\n", "        if self.spent < PATIENCE:\n"),
    ("numba_tools.py", "test_first_use", "with waiting(), _COMPILING, contextlib.ExitStack()", "with waiting(), contextlib.ExitStack()"),
    ("threads.py", "test_threads", "_lost = _lost or (layer() == \"omp\"", "_lost = (layer() == \"omp\""),
    ("threads.py", "test_threads", "others = (together - own) / wall", "others = together / wall"),
    ("solvers/rules.py", "test_first_use test_rules", "from varinv.first_use import clock\n", "from time import perf_counter as clock\n"),
    ("solvers/watch.py", "test_history", "state, last=bool(self.why))", "state, last=False)"),
    ("solvers/watch.py", "test_honest_stops test_result", "    return math.isfinite(dot(state.x, state.x))", "    return True"),
    ("solvers/watch.py", "test_checkpoint", "leaf.best = max(leaf.best, old[\"best\"])", "leaf.best = old[\"best\"]"),
    ("solvers/doubt.py", "test_doubt", "a wrong adjoint, prox or step shows so\" if tests else \"\"", "a wrong adjoint, prox or step shows so\" if not tests else \"\""),
    ("solvers/doubt.py", "test_doubt", "and not type(value).__module__.startswith(\"varinv.\")", "and type(value).__module__.startswith(\"varinv.\")"),
    ("solvers/doubt.py", "test_doubt", "    if k < ENOUGH:\n", "    if k > ENOUGH:\n"),
    ("solvers/least_squares.py", "test_least_squares", "if form is None or form.boxed:", "if form is None:"),
    ("solvers/least_squares.py", "test_least_squares", "1.0 if self.K is None else self.K.norm() ** 2", "1.0 if self.K is None else self.K.norm()"),
    ("solvers/step_sizes.py", "test_joint_steps", "tau=0.99 / bound if bound", "tau=1.99 / bound if bound"),
    ("solvers/step_sizes.py", "test_joint_steps", "FIRST * target * (1.0 if S else SHARE) / size", "FIRST * target / size"),
    ("solvers/step_sizes.py", "test_solvers", "first * (A / K) ** 2 for K in nonzero", "first * (K / A) ** 2 for K in nonzero"),
    ("operators/norms.py", "test_joint_steps", "limit = 2 * n / (math.pi * chance**2)", "limit = 2 * n / math.pi"),
    ("operators/norms.py", "test_own_operators test_norms", "zero, ratio=1.1)) * (1 + 1e-6)", "zero, ratio=1.1)) * (1 - 1e-6)"),
    ("operators/norms.py", "test_norms", "return math.sqrt(upper) * (1 + 1e-6)", "return math.sqrt(upper)"),
    ("operators/base.py", "test_subsets", "return self.B.views() if self._weighs() else self.A.views()", "return self.A.views() if self._weighs() else self.B.views()"),
    ("operators/base.py", "test_subsets", "Composition(self.A.restricted(axis, indices), self.B.subset(indices))", "Composition(self.A.restricted(-1, indices), self.B.subset(indices))"),
    ("operators/base.py", "test_norms", "if inner is self.K and self.factor >= 0:", "if inner is self.K:"),
    ("operators/base.py", "test_own_operators test_norms", "return abs(self.factor) * self.K.norm()", "return self.factor * self.K.norm()"),
    ("operators/base.py", "test_norms", "not (a & b).any()", "not (a & b).all()"),
    ("operators/krylov.py", "test_pinv", "p = add_scaled(slope, gamma / s.gamma, s.p)", "p = add_scaled(slope, s.gamma / gamma, s.p)"),
    ("operators/krylov.py", "test_cgls test_pinv", "    if s.gamma <= rounding:", "    if s.gamma < 0:"),
    ("operators/krylov.py", "test_pinv", "return bool(r <= tol * (size + bound * norm(s.x)) or", "return bool(r <= tol * bound * norm(s.x) and"),
    # learning: rules, lower levels, losses, criteria
    ("learning/maid.py", "test_learning_rules test_learning", "there - here + self.armijo * a * s.slope**2 <= 0:", "there - here - self.armijo * a * s.slope**2 <= 0:"),
    ("learning/maid.py", "test_learning_rules test_learning", "here = s.now.corrected - self._slack(s.now) if self._corrected else s.now.lower", "here = s.now.corrected + self._slack(s.now) if self._corrected else s.now.upper"),
    ("learning/maid.py", "test_learning_rules test_learning", "            a *= self.shrink\n", "            a *= self.growth\n"),
    ("learning/maid.py", "test_learning_rules test_learning", "return e.slack + e.bend if self.certified else e.slack", "return e.slack"),
    ("learning/hoag.py", "test_learning_rules test_learning", "s = s._replace(L=2 * L, halved=s.halved / 2", "s = s._replace(L=L / 2, halved=s.halved / 2"),
    ("learning/hoag.py", "test_learning_rules test_learning", "best = now if old.slope is None or now.value < s.best.value else s.best", "best = now"),
    ("learning/lower.py", "test_learning_bounds test_learning_oracle test_learning", "if size <= epsilon * mu:", "if size <= epsilon * L:"),
    ("learning/lower.py", "test_learning_bounds test_learning_oracle test_learning", "return Lower(z, slope, size, size / mu, k, False)", "return Lower(z, slope, size, size / L, k, False)"),
    ("learning/lower.py", "test_learning_bounds test_learning_oracle test_learning", "beta = (t - 1) * (1 - kappa * ahead) / (ahead * (1 - kappa)) if kappa < 1 else 0.0", "beta = 0.0"),
    ("learning/lower.py", "test_learning_oracle test_learning", "part = t.f.hvp(z, p) if t.K is None else t.K.adjoint(t.f.hvp(z, t.K.forward(p)))", "part = t.f.hvp(z, p) if t.K is None else t.K.adjoint(t.f.hvp(0 * z, t.K.forward(p)))"),
    ("learning/losses.py", "test_learning test_choice_rules", "return 2 * back(first - self.y) - b, b", "return 2 * back(first - self.y) + b, b"),
    ("learning/losses.py", "test_learning test_choice_rules", "return 2 * self.noise**2 / self.step", "return self.noise**2 / self.step"),
    ("learning/losses.py", "test_learning test_choice_linear", "m = int(namespace(weight).sum(weight > 0))", "m = m + 0"),
    ("learning/rules_risk.py", "test_choice_linear test_choice_rules", "left = max(m - df, 1e-6 * m)", "left = max(m - 0.5 * df, 1e-6 * m)"),
    ("learning/rules_risk.py", "test_choice_linear test_choice_rules", "square - sweep.m * prepared**2 + 2 * prepared**2 * df", "square - sweep.m * prepared**2 - 2 * prepared**2 * df"),
    ("learning/rules_residual.py", "test_choice_rules", "left = sweep.m - df if self.corrected else float(sweep.m)", "left = sweep.m + df if self.corrected else float(sweep.m)"),
    ("learning/rules_residual.py", "test_choice_rules", "xp.sum(power**2, axis=axes)", "xp.sum(power, axis=axes)"),
    ("learning/rules_curve.py", "test_choice_rules test_choice_linear", "return (r1 * e2 - r2 * e1) / speed**3", "return (r2 * e1 - r1 * e2) / speed**3"),
    # priors: each restoration's formula
    ("priors/hqs.py", "test_restoration", "rho = self.weight * prior.lam * self.noise**2 / sigma**2", "rho = self.weight * prior.lam * self.noise / sigma"),
    ("priors/hqs.py", "test_restoration", "b = add_scaled(A.adjoint(f.y), rho, s.x)", "b = add_scaled(A.adjoint(f.y), rho, s.u)"),
    ("priors/drp.py", "test_restoration", "p = add_scaled(r, gamma / before, p)", "p = add_scaled(r, before / gamma, p)"),
    ("priors/drp.py", "test_restoration", "z = add_scaled(s.u, self.relax, s.x - s.u)", "z = add_scaled(s.x, self.relax, s.x - s.u)"),
    ("priors/red_diff.py", "test_restoration", "sigma * (guess - epsilon) + A.adjoint", "sigma * (guess + epsilon) + A.adjoint"),
    ("priors/ddnm.py", "test_restoration", "x = d - share * (d - A.project(d, f.y))", "x = d - (d - A.project(d, f.y))"),
    ("priors/ddnm.py", "test_restoration", "fresh, kept = self.eta * after, math.sqrt(1 - self.eta**2) * after / sigma", "fresh, kept = self.eta * after, (1 - self.eta) * after / sigma"),
    ("priors/weights.py", "test_weights", "return (1 + relative * relative) ** (-(1 - p) / 2)", "return (1 + relative * relative) ** (-(1 - p))"),
    ("priors/weights.py", "test_weights", "eta = (default_eta(x) or None) if eta is None else eta", "eta = default_eta(x) or None"),
    ("priors/graph.py", "test_graph_la", "size = 0.1 * float(abs(L.forward(guide)).max())", "size = 10 * float(abs(L.forward(guide)).max())"),
    ("domains.py", "test_domains", "for (_, hi), (lo, _) in ((a, b), (b, a)):", "for (_, hi), (lo, _) in ((a, b),):"),
    ("domains.py", "test_domains", "return -form.background, math.inf", "return form.background, math.inf"),
    ("domains.py", "test_domains", "if not 0 < off <= FAR]", "if off > FAR]"),
    ("domains.py", "test_domains", "setdefault(id(t.K), [])", "setdefault(0, [])"),
    ("domains.py", "test_domains", "    if not is_array(bound) and bound == 0:\n        return 0.0\n", "    if not is_array(bound) and bound == 0:\n        return otherwise\n"),
    ("functionals/simplex.py", "test_domains", "self.total - _smallest(most), -_smallest(hi))", "self.total - _smallest(most))"),
    ("functionals/data.py", "test_domains", "return norm(xp.minimum(z + b, xp.zeros_like(z)))", "return norm(xp.minimum(z, xp.zeros_like(z)))"),
    ("returned.py", "test_injected_faults", "    if tuple(value.shape) != tuple(shape):", "    if math.prod(value.shape) != math.prod(shape):"),
    ("returned.py", "test_injected_faults", "    return value if value.dtype == x.dtype else namespace(x).astype(value, x.dtype)", "    return value"),
    ("returned.py", "test_injected_faults", "if not namespace(value).isdtype(value.dtype, \"real floating\")", "if namespace(value).isdtype(value.dtype, \"complex floating\")"),
    ("solvers/rules.py", "test_injected_faults", "        return found or None\n    if found is None", "        return found\n    if found is None"),
    ("solvers/rules.py", "test_injected_faults", "in (\"bool\", \"bool_\") and not found)", "in (\"bool\", \"bool_\"))"),
    ("solvers/rules.py", "test_choice_report", "    return why in limits or ", "    return "),
    ("solvers/probes.py", "test_injected_faults", "    if not error <= OFF * size:", "    if error > 10 * size:"),
    ("solvers/probes.py", "test_injected_faults", "_slope(t, x) or _prox(t, x) if own_f", "_slope(t, x) if own_f"),
    ("solvers/optimality.py", "test_residuals", "below = max(below, FLAT**2 * flat * dot(x, x))", "below = max(below, 0.0)"),
    ("solvers/archive.py", "test_checkpoint_rests", "if (found := name.fullmatch(part.name)) and not _lives(int(found[1])):", "if (found := name.fullmatch(part.name)):"),
    ("solvers/archive.py", "test_checkpoint_rests", "re.escape(f\".{path.name}.{_here()}-\")", "f\".{path.name}.{_here()}-\""),
    ("numba_tools.py", "test_unwritable", "        if \"no locator\" not in str(error):\n            raise\n", "        if \"no locator\" in str(error):\n            raise\n"),
    ("learning/path.py", "test_choice_report", "reached = not failed and not (used_up and not _settled(result))", "reached = not failed"),
    ("priors/denoiser.py", "test_bad_networks test_injected_faults", "    if tuple(v.shape) != tuple(u.shape):", "    if len(v.shape) != len(u.shape):"),
    # scan: from frames to line integrals
    ("scan/columns.py", "test_scan_correct test_scan_faults_views", "usable[views].mean(0) < 0.5", "usable[views].mean(0) < 0.02"),
    ("scan/columns.py", "test_scan_correct test_scan_faults_views", "(level > 2 * near) & (level > 2 * air)", "(level > 2 * near) & (level > 200 * air)"),
    ("scan/fill.py", "test_scan_correct test_scan_faults_views", "share = (angles[v] - angles[a]) / gap if gap > 0 else 0.5", "share = 0.5"),
    ("scan/fill.py", "test_scan_correct test_scan_faults_views", "within.mean() < 0.1", "within.mean() < 0.0"),
    ("scan/flats.py", "test_scan_faults_flats test_scan_correct", "when = np.arange(views) + 0.5", "when = np.arange(views) * 0.5"),
    ("scan/flats.py", "test_scan_faults_flats test_scan_correct", "    if level > 5 * noise:", "    if level > -5 * noise:"),
    ("scan/flats.py", "test_scan_faults_flats test_scan_correct", "return np.asarray(table[after - 1] + share *", "return np.asarray(table[after - 1] - share *"),
    ("scan/outliers.py", "test_scan_faults_views test_scan_correct", "least = max(0.2 * contrast,", "least = max(2.0 * contrast,"),
    ("scan/outliers.py", "test_scan_faults_views test_scan_correct", "limit = air - np.log(ABOVE)", "limit = air - 9"),
    ("scan/levels.py", "test_scan_faults_views test_scan_correct", "DIP = 0.03", "DIP = 0.3"),
    ("scan/kinds.py", "test_scan_kinds", "return Decision(TRANSMISSION, why)\n", "return Decision(LINES, why)\n"),
    ("scan/kinds.py", "test_scan_kinds", "if e.way == \"brighter\":\n        if any(full", "if e.way == \"darker\":\n        if any(full"),
    ("scan/names.py", "test_scan_formats_names test_scan_formats_layout", "return [(0, int(p), \"\") if p.isdigit()", "return [(1, 0, p) if p.isdigit()"),
    ("scan/names.py", "test_scan_formats_names test_scan_formats_layout", "rising = [s for s in distinct if s.counts_up] or distinct", "rising = distinct"),
    ("scan/axis_moments.py", "test_scan_axis", "found.append(fit[0] + (m - 1) / 2)", "found.append(fit[0] + m / 2)"),
    ("scan/scan.py", "test_scan_correct test_demo_scan test_scan_geometry", "column = (column - start - (k - 1) / 2) / k", "column = (column - start) / k"),
    ("scan/scan.py", "test_scan_correct test_demo_scan test_scan_geometry", "return self.shape[2] - 1 - column if self.mirrored else column", "return column"),
    ("scan/checks/moments.py", "test_checks test_catalogue", "figure = abs(float(found[0]) - p.axis)", "figure = abs(float(found[0]) - p.axis) / 100"),
    ("scan/saved.py", "test_scan_sources test_image_files test_cli", "if MARK not in words or not words.lstrip().startswith(\"{\"):", "if MARK in words:"),
    # the command line
    ("cli_options.py", "test_cli_stacks", "return slice(numbers[0], numbers[0] + 1 or None)", "return slice(numbers[0], numbers[0] + 1)"),
    ("cli_options.py", "test_cli_stacks test_cli", "for out in (path, path.with_suffix(\".png\")) if beside else (path,):", "for out in (path,):"),
    ("cli_options.py", "test_cli_stacks test_cli", "scan = scan.flip() if flip else scan", "scan = scan.reverse() if flip else scan"),
    ("plot.py", "test_cli_stacks test_cli test_plot", "if not name.exists() or ours(name))", "if name)"),
    ("cli.py", "test_cli", "        if table.doubtful:\n            raise typer.Exit(1)", "        if table.doubtful:\n            raise typer.Exit(0)"),
    # checkpoints
    ("solvers/checkpoint.py", "test_checkpoint test_checkpoint_files test_not_finite", "if due and finite(saved.state):", "if due:"),
    ("solvers/checkpoint.py", "test_checkpoint test_checkpoint_files", "if row[\"k\"] <= saved.state.k]", "if row[\"k\"] < saved.state.k]"),
]  # fmt: skip


def runs(copy: Path, tests: str) -> Iterator[list[str]]:
    """The arguments of pytest, one list for each of the test files."""
    for test in tests.split():
        name, _, word = test.rstrip("]").partition("[")
        (file,) = (copy / "tests").rglob(f"{name}.py")
        yield [str(file), *(["-k", f"[{word}]"] if word else [])]


def caught(mutant: tuple[str, str, str, str]) -> str | None:
    """The name of the test that failed, or None: the fault was missed."""
    name, tests, old, new = mutant
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in (PACKAGE, "tests", "benchmarks", "docs"):
            shutil.copytree(ROOT / part, copy / part)  # times of files are kept, and so is the cache of compiled code
        shutil.copy(ROOT / "pyproject.toml", copy)
        file = copy / PACKAGE / name
        if old:
            file.write_text(file.read_text().replace(old, new))
        env = dict(os.environ, PYTHONPATH=folder, NUMBA_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
        for arguments in runs(copy, tests):
            run = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider", *arguments]
            done = subprocess.run(run, cwd=copy, env=env, capture_output=True, text=True)
            if done.returncode == 1:
                failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
                return failed[0].partition("/")[2].partition(" - ")[0] if failed else "a test"
            if done.returncode != 0:
                raise RuntimeError(done.stdout + done.stderr)
    return None


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(w in m[0] or w in m[3] for w in words)]
    for name, _, old, _ in chosen:
        if (ROOT / PACKAGE / name).read_text().count(old) != 1:
            raise ValueError(f"{name} does not hold exactly once: {old}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        each = sorted({word for m in chosen for word in m[1].split()})
        for word, test in zip(each, pool.map(lambda word: caught(("", word, "", "")), each), strict=True):
            if test:  # it would "catch" every fault
                raise RuntimeError(f"{word} fails without a fault: {test}")
        results = []
        for (name, _, _, new), test in zip(chosen, pool.map(caught, chosen), strict=True):
            results.append(test)
            text = " ".join(new.split())[:70]
            print(f"{'caught' if test else 'MISSED'}  {name:<36}{text:<72}{test or ''}", flush=True)
    share = sum(r is not None for r in results) / len(results)
    files = len({m[0] for m in chosen})
    print(f"{share:.0%} of {len(results)} faults in {files} files caught (90 % asked)")
    return int(share < 0.9)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
