"""Faults planted in solver files, one at a time: do the tests see them?

    python tests/mutants/run.py [WORD …]        (only faults whose file or new text holds one of the words)

Every fault is one replacement in a copy of the package; a text that is not found exactly once is an error.  The proof
suite runs for the solver concerned, then its own tests, until one fails.  Exits with 1 where fewer than 90 % are caught.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOLVERS = "varinv/solvers/"

# file, solver in the proof suite, the text, the fault, further tests
MUTANTS = [
    ("chambolle_pock", "ChambollePock", "tau = self.tau if self.tau is not None else (0.99 / total", "tau = self.tau if self.tau is not None else (3 / total", "test_solvers"),
    ("chambolle_pock", "ChambollePock", "return ChambollePockState(x, x_bar, y, theta * s.tau", "return ChambollePockState(x, x, y, theta * s.tau", "test_solvers"),
    ("chambolle_pock", "ChambollePock", "tuple(sigma / theta for sigma in s.sigma), s.k + 1)", "tuple(sigma * theta for sigma in s.sigma), s.k + 1)", "test_solvers"),
    ("adaptive_chambolle_pock", "AdaptiveChambollePock", "problem.coupled, s.y, s.u, s.tau, sigma, RELAXATION,", "problem.coupled, s.y, s.x, s.tau, sigma, RELAXATION,", "test_primal_dual"),
    ("adaptive_chambolle_pock", "AdaptiveChambollePock", "RELAXATION = 1.9", "RELAXATION = 2.3", "test_primal_dual"),
    ("adaptive_chambolle_pock", "AdaptiveChambollePock", "s.y, s.u, s.tau, sigma, RELAXATION,", "s.y, s.u, s.tau, sigma, -RELAXATION,", "test_primal_dual"),
    ("spdhg", "SPDHG", "z_bar = add_scaled(z, 1 / b.p, delta)", "z_bar = add_scaled(z, -1 / b.p, delta)", "test_primal_dual"),
    ("spdhg", "SPDHG", "            z = add_scaled(z, 1.0, delta)\n", "", "test_primal_dual"),
    ("spdhg", "SPDHG", "b.K.adjoint(add_scaled(y[i], -1.0, old))", "b.K.adjoint(old)", "test_primal_dual"),
    ("condat_vu", "CondatVu", "tau = 0.99 / (total + L / 2)", "tau = 9.9 / (total + L / 2)", "test_primal_dual"),
    ("cg", "CG", "add_scaled(r, gamma / s.gamma, s.p), max(", "add_scaled(r, s.gamma / gamma, s.p), max(", "test_cg"),
    ("cg", "CG", "x, r = add_scaled(s.x, alpha, s.p), add_scaled(s.r, -alpha, Hp)", "x, r = add_scaled(s.x, alpha, s.p), add_scaled(s.r, alpha, Hp)", "test_cg"),
    ("cgls", "CGLS", "q = A.forward(s.p)", "q = A.forward(s.x)", "test_cgls"),
    ("cgls", "CGLS", "slope = A.adjoint(f.weighted(r))\n", "slope = A.adjoint(r)\n", "test_cgls"),
    ("lsqr", "LSQR", "cos, sin = s.rho_bar / rho, beta / rho", "cos, sin = beta / rho, s.rho_bar / rho", "test_cg"),
    ("lsqr", "LSQR", "u = tuple(-a for a in residuals(squares, x))", "u = tuple(-a for a in residuals(squares, 0 * x))", "test_lsqr test_warm_start"),
    ("fista", "FISTA", "z = add_scaled(s.x, beta, s.x - s.x_old)", "z = add_scaled(s.x, -beta, s.x - s.x_old)", "test_gradient_methods"),
    ("fista", "FISTA", "return new, (t - 1) / new *", "return new, (t + 1) / new *", "test_gradient_methods"),
    ("proximal_gradient", "ProximalGradient", "ProximalGradientState(x, y, 1.5 * tau if seen else tau, s.k + 1)", "ProximalGradientState(s.x, y, 1.5 * tau if seen else tau, s.k + 1)", "test_gradient_methods"),
    ("forward_backward", "ProximalGradient", "    x = prox(g, v, tau)", "    x = prox(g, v, 1.0)", "test_gradient_methods"),
    ("admm", "ADMM", "w = tuple(r * (v - b) for v, b, r", "w = tuple((v - b) for v, b, r", "test_admm"),
    ("admm", "ADMM", "z = tuple(t.f.prox(v, 1 / r)", "z = tuple(t.f.prox(v, r)", "test_admm"),
    ("sirt", "SIRT", "new = x + relaxation * C * K.adjoint(r * (square(term).beside(z)[0] - z))", "new = x + relaxation * C * K.adjoint(square(term).beside(z)[0] - z)", "test_row_action"),
    ("sirt", "SART", "inverse(largest([sums(piece, x)[1] for piece in pieces]))", "inverse(sums(pieces[0], x)[1])", "test_row_action"),
    ("mlem", "MLEM", "return 1 - xp.where(counted, y / xp.where(counted, u", "return 1 - xp.where(counted, y / xp.where(counted, z", "test_mlem"),
    ("mlem", "OSEM", "x = corrected(piece, dual(piece, x), c, x)", "x = corrected(piece, dual(piece, s.x), c, x)", "test_mlem"),
    ("landweber", "NuMethod", "add_scaled(x, mu, s.x - s.before)", "add_scaled(x, mu, s.before - s.x)", "test_row_action"),
    ("mmgks", "MMGKS", "        z = _solve(H + lam * M, b + lam * c)", "        z = _solve(H + lam * M / 2, b + lam * c)", "test_mmgks"),
    ("rules", "CG", "self.best = max(self.best, dual)", "self.best = dual", "test_result"),
    ("checkpoint", "CG", "every, wait = self.checkpoint.every", "every, wait = None", "test_checkpoint"),
]  # fmt: skip


def caught(mutant: tuple[str, str, str, str, str]) -> str | None:
    """The name of the test that failed, or None: the fault was missed."""
    name, solver, old, new, tests = mutant
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("varinv", "tests", "benchmarks"):
            shutil.copytree(ROOT / part, copy / part)  # times of files are kept, and so is the cache of compiled code
        shutil.copy(ROOT / "pyproject.toml", copy)
        file = copy / SOLVERS / f"{name}.py"
        text = file.read_text()
        if text.count(old) != 1:
            raise ValueError(f"{name}.py holds {text.count(old)} times: {old}")
        file.write_text(text.replace(old, new))
        files = [str(f) for t in tests.split() for f in (copy / "tests").rglob(f"{t}.py")]
        env = dict(os.environ, PYTHONPATH=folder, NUMBA_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
        for arguments in (["tests/solvers/test_proof.py", "-k", f"[{solver}]"], files):
            if not arguments:
                continue
            run = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments]
            done = subprocess.run(run, cwd=copy, env=env, capture_output=True, text=True)
            if done.returncode == 1:
                lines = [line for line in done.stdout.splitlines() if line.startswith("____")]
                return lines[0].strip("_ ") if lines else "a test"
            if done.returncode != 0:
                raise RuntimeError(done.stdout + done.stderr)
    return None


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(w in m[0] or w in m[3] for w in words)]
    for name, _, old, _, _ in chosen:
        if (ROOT / SOLVERS / f"{name}.py").read_text().count(old) != 1:
            raise ValueError(f"{name}.py does not hold exactly once: {old}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = []
        for mutant, test in zip(chosen, pool.map(caught, chosen), strict=True):
            results.append(test)
            print(
                f"{'caught' if test else 'MISSED'}  {mutant[0] + '.py':<28}{mutant[3].strip()[:70]:<72}{test or ''}",
                flush=True,
            )
    share = sum(r is not None for r in results) / len(results)
    files = len({m[0] for m in chosen})
    print(f"{share:.0%} of {len(results)} faults in {files} files caught (90 % asked)")
    return int(share < 0.9)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
