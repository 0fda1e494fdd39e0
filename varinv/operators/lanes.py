"""Eight numbers at once, where the compiler does not see by itself that neighbours read neighbours.

Row m of a detector column reads a line of voxels at position  i + m + u_m,  u_m = f + m e:  the eight rows m = 0 … 7
read within three or four voxels of each other if e is small, so that eight loads, each shifted by one, hold all that
they need, and no row needs an index of its own.  Written as LLVM vector code without instructions of any machine:
a processor without vectors runs it one by one.  Kernels on disk hold copies of it: changed, it would need other names.
"""

# mypy: ignore-errors
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 8
FAST = ("reassoc", "contract", "nsz")
WORD = ir.IntType(32)


class Writer:
    """What the code of one function is written with: the array's number type, in lanes."""

    def __init__(self, context, builder, signature, args):
        self.context, self.builder, self.kinds, self.args = context, builder, signature.args, args
        self.number = context.get_value_type(signature.args[0].dtype)
        self.vector = ir.VectorType(self.number, LANES)

    def constant(self, x):
        return ir.Constant(self.vector, [float(x)] * LANES)

    def pointer(self, k, at):
        """The entry of argument array k at the index in argument `at`."""
        data = self.context.make_array(self.kinds[k])(self.context, self.builder, self.args[k]).data
        return self.builder.gep(data, [self.args[at]])

    def spread(self, k):
        """Argument k, a float64, in all lanes."""
        value, b = self.args[k], self.builder
        if self.number != ir.DoubleType():
            value = b.fptrunc(value, self.number)
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = b.insert_element(nothing, value, ir.Constant(WORD, 0))
        return b.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(WORD, LANES), [0] * LANES))

    def ramp(self, f, e):
        """f + m e in lane m."""
        lane = ir.Constant(self.vector, [float(m) for m in range(LANES)])
        return self.add(self.spread(f), self.times(lane, self.spread(e)))

    def load(self, pointer, shift=0):
        place = self.builder.gep(pointer, [ir.Constant(WORD, shift)])
        value = self.builder.load(self.builder.bitcast(place, self.vector.as_pointer()))
        value.align = 4
        return value

    def store(self, value, pointer):
        self.builder.store(value, self.builder.bitcast(pointer, self.vector.as_pointer())).align = 4

    def add(self, a, b):
        return self.builder.fadd(a, b, flags=FAST)

    def minus(self, a, b):
        return self.builder.fsub(a, b, flags=FAST)

    def times(self, a, b):
        return self.builder.fmul(a, b, flags=FAST)

    def choose(self, sign, a, b):
        return self.builder.select(self.builder.fcmp_ordered(sign, a, b, flags=FAST), a, b)

    def positive(self, a):
        return self.choose(">", a, self.constant(0))

    def mixed(self, total, weight, a, b):
        """total + weight·(a − b)."""
        return self.add(total, self.times(weight, self.minus(a, b)))


@intrinsic
def hat3(typing, g, i, out, o, f, e):
    """out[o + m] += g read linearly at i + m + u_m, u_m = f + m e in [0, 2)."""

    def generate(context, builder, signature, args):
        w = Writer(context, builder, signature, args)
        u, here, there = w.ramp(4, 5), w.pointer(0, 1), w.pointer(2, 3)
        a, b, c = (w.load(here, m) for m in range(3))
        total = w.mixed(b, w.positive(w.minus(w.constant(1), u)), a, b)
        total = w.mixed(total, w.positive(w.minus(u, w.constant(1))), c, b)
        w.store(w.add(w.load(there), total), there)
        return context.get_dummy_value()

    return types.void(g, i, out, o, types.float64, types.float64), generate


@intrinsic
def hat4(typing, g, i, out, o, f, e):
    """The same for u_m in [0, 3)."""

    def generate(context, builder, signature, args):
        w = Writer(context, builder, signature, args)
        u, here, there = w.ramp(4, 5), w.pointer(0, 1), w.pointer(2, 3)
        a, b, c, d = (w.load(here, m) for m in range(4))
        one = w.constant(1)
        total = w.mixed(a, w.choose("<", u, one), b, a)
        total = w.mixed(total, w.choose("<", w.positive(w.minus(u, one)), one), c, b)
        total = w.mixed(total, w.positive(w.minus(u, w.constant(2))), d, c)
        w.store(w.add(w.load(there), total), there)
        return context.get_dummy_value()

    return types.void(g, i, out, o, types.float64, types.float64), generate


def _gather(taps, fresh):
    """out[o + m] = (or +=) Σ_t max(0, 1 − |c + t B + m (B − 1)|)·y[i + m + t], t < taps: what each voxel gets back."""

    @intrinsic
    def gather(typing, y, i, out, o, c, B):
        def generate(context, builder, signature, args):
            w = Writer(context, builder, signature, args)
            here, there, one = w.pointer(0, 1), w.pointer(2, 3), w.constant(1)
            step = w.spread(5)
            lane = ir.Constant(w.vector, [float(m) for m in range(LANES)])
            at = w.add(w.spread(4), w.times(lane, w.minus(step, one)))
            total = w.constant(0) if fresh else w.load(there)
            for t in range(taps):
                size = w.choose(">", at, w.minus(w.constant(0), at))
                total = w.add(total, w.times(w.positive(w.minus(one, size)), w.load(here, t)))
                at = w.add(at, step)
            w.store(total, there)
            return context.get_dummy_value()

        return types.void(y, i, out, o, types.float64, types.float64), generate

    return gather


set2, set3, set4, set5 = (_gather(taps, True) for taps in (2, 3, 4, 5))
add5 = _gather(5, False)
