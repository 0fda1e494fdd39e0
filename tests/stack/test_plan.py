"""The cutting of a stack into slabs."""

import pytest

from varinv.stack.plan import Slab, slabs


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 16])
@pytest.mark.parametrize("height", [1, 3, 8, 20])
@pytest.mark.parametrize("halo", [0, 2, 30])
def test_every_slice_once_and_halos_inside(count, height, halo):
    cut = slabs(count, height, halo)
    assert [s for slab in cut for s in range(slab.start, slab.stop)] == list(range(count))
    assert len(cut) == -(-count // height)  # none too many, whatever the halo
    for slab in cut:
        assert slab.stop - slab.start == height or slab is cut[-1]
        assert slab.low == max(0, slab.start - halo)
        assert slab.high == min(count, slab.stop + halo)
        assert list(range(slab.low, slab.high))[slab.inner] == list(range(slab.start, slab.stop))


def test_one_row():
    assert slabs(1, 8, 8) == (Slab(0, 1, 0, 1),)


@pytest.mark.parametrize("wrong", [(0, 1, 0), (3, 0, 0), (3, 1, -1)])
def test_numbers_that_are_no_counts(wrong):
    with pytest.raises(ValueError, match="slabs"):
        slabs(*wrong)
