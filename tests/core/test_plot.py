"""Pictures: orientation, grey scale, titles, files; nothing global is touched."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import rand
from PIL import Image

import varinv as vi
from varinv import plot

Y = np.linspace(0, 1, 24).reshape(4, 6)


@pytest.fixture(scope="module")
def solved():
    return vi.solve(vi.L2Squared(Y) @ vi.Identity(Y.shape) + 0.1 * vi.TV(Y.shape) + vi.NonNegative(), stop=vi.gap(1e-3))


def shown(figure, k=0):
    """The k-th image drawn in a figure."""
    return [ax.images[0] for ax in figure.axes if ax.images and ax.get_label() != "<colorbar>"][k]


def titles(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def test_row_0_is_at_the_top_and_left_is_left():
    x = np.zeros((4, 6))
    x[0, 5] = 1
    drawn = shown(plot.image(x))
    assert drawn.origin == "upper"
    left, right, bottom, top = drawn.get_extent()
    assert top < bottom
    assert left < right
    assert np.array_equal(np.asarray(drawn.get_array()), x)


def test_outliers_do_not_set_the_grey_scale():
    x = rand(np, (100, 100), 1, kind="non-negative")
    x[3, 3] = 1e6
    low, high = shown(plot.image(x)).get_clim()
    assert 0 <= low < 0.02  # the 0.5 percentile of uniform numbers
    assert 0.98 < high <= 1.0


def test_the_truth_sets_grey_scale_and_psnr(solved):
    truth = 2 * Y - 0.5
    figure = plot.result(solved, truth=truth)
    assert shown(figure).get_clim() == (-0.5, 1.5)
    assert f"PSNR {vi.psnr(solved.x, truth):.1f} dB" in titles(figure)[0]
    figure = plot.compare({"a": truth, "b": Y}, truth=truth, unit="1/mm")
    assert shown(figure, 0).get_clim() == shown(figure, 1).get_clim() == (-0.5, 1.5)
    assert "PSNR" not in titles(figure)[0]  # infinite: it is the truth
    assert "PSNR" in titles(figure)[1]
    assert any("1/mm" in ax.get_ylabel() for ax in figure.axes)


def test_history_is_drawn_on_a_logarithmic_axis(solved):
    figure = plot.result(solved)
    scales = {ax.get_title(): ax.get_yscale() for ax in figure.axes if ax.get_title()}
    assert scales["certificate and residual"] == "log"
    assert "objective" in scales
    assert solved.why in figure.get_suptitle()
    seen = {line.get_label() for ax in figure.axes for line in ax.lines}
    assert seen == {"objective", "lower bound", "gap", "change"}  # memory and seconds are no convergence


def test_observed_figures_have_an_axis_of_their_own():
    observed = vi.solve(
        vi.L2Squared(Y) + 0.1 * vi.TV(Y.shape), stop=vi.iterations(30), observe=lambda s: {"psnr": 20.0 + s.k}
    )
    panels = {ax.get_title(): ax for ax in plot.result(observed).axes if ax.get_title()}
    assert list(panels) == ["reconstruction", "objective", "relative change", "observed"]
    assert panels["observed"].get_yscale() == "linear"
    assert list(panels["observed"].lines[0].get_ydata()) == [20.0 + k for k in range(31)]


def test_without_history_there_is_only_the_image(solved):
    import dataclasses

    assert titles(plot.result(dataclasses.replace(solved, history=()))) == ["reconstruction"]


def test_volumes_show_their_middle_slice_and_say_so():
    x = rand(np, (5, 4, 6), 2)
    figure = plot.image(x, title="stack")
    assert titles(figure) == ["stack\nslice 2 of 5"]
    assert np.array_equal(np.asarray(shown(figure).get_array()), x[2])


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".jpg"])
def test_files(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    plot.image(Y.astype(np.float32), path)
    assert path.stat().st_size > 500
    assert list(tmp_path.iterdir()) == [path]  # no part file left


def test_nothing_is_clipped_at_the_border_of_the_picture(tmp_path, solved):
    """The outermost pixels are paper: no label or title reaches the edge."""
    plot.result(solved, tmp_path / "r.png", unit="1/mm", title="a title of two lines\nand the second", truth=Y)
    plot.compare({"one": Y, "another": 1 - Y}, tmp_path / "c.png", unit="1/mm", truth=Y)
    plot.image(rand(np, (300, 40), 3), tmp_path / "i.png", unit="1/mm")
    for name in ("r", "c", "i"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border > 250).all(), name


def test_any_library_and_constant_images(xp):
    plot.image(xp.ones((3, 4)))
    plot.compare({"a": xp.zeros((3, 4))})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plot.image(np.ones(5)), "shape (5,)"),
        (lambda: plot.image(np.full((2, 2), np.nan)), "no finite value"),
        (lambda: plot.image(Y, "x.bmp"), "x.bmp"),
        (lambda: plot.compare({}), "at least one image"),
        (lambda: plot.compare({"a": Y}, truth=Y.T), "(6, 4)"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError) as raised:
        call()
    assert words in str(raised.value)


def test_complex_images_are_refused():
    with pytest.raises(TypeError, match="complex128"):
        plot.image(Y + 1j)


def test_a_failed_picture_leaves_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        plot.image(Y, tmp_path / "absent" / "x.png")
    assert not list(tmp_path.iterdir())


def test_nothing_global_is_touched():
    script = (
        "import sys, numpy; from matplotlib import rcParams; from varinv import plot; "
        "rc = lambda: {k: rcParams[k] for k in rcParams if k != 'backend'}; before = rc(); "
        "plot.compare({'a': numpy.eye(3)}); assert rc() == before; "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_a_volume_is_shown_in_three_planes_that_meet():
    x = rand(np, (5, 8, 6), 1)
    solved = vi.solve(vi.L2Squared(x), stop=vi.iterations(3))
    figure = solved.plot(unit="1/mm")
    drawn = [np.asarray(shown(figure, k).get_array()) for k in range(3)]
    assert np.array_equal(drawn[0], solved.x[2])
    assert np.array_equal(drawn[1], solved.x[:, :, 3].T)
    assert np.array_equal(drawn[2], solved.x[:, 4])
    assert len({shown(figure, k).get_clim() for k in range(3)}) == 1
    assert titles(figure) == ["slice 2 of 5", "column 3 of 6", "row 4 of 8"]
    assert any("1/mm" in ax.get_ylabel() for ax in figure.axes)
