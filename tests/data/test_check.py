"""Every kind of problem, planted in a clean tree, is found and named; the clean tree has none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segbench.check_data import check_data
from segbench.data.check import check
from segbench.data.sources.camvid11 import CLASSES, CamVid11
from tests.data.writers import SIZE, save, street

NAME = "0001TP_000001"


def _missing_mask(root: Path) -> None:
    (root / "trainannot" / f"{NAME}.png").unlink()


def _missing_image(root: Path) -> None:
    (root / "train" / f"{NAME}.png").unlink()


def _missing_split(root: Path) -> None:
    shutil.rmtree(root / "test")


def _truncated_image(root: Path) -> None:
    file = root / "train" / f"{NAME}.png"
    file.write_bytes(file.read_bytes()[:-40])


def _truncated_jpeg(root: Path) -> None:
    (root / "train" / f"{NAME}.png").unlink()
    file = root / "train" / f"{NAME}.jpg"
    save(file, street("train", 1)[0])
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _unreadable_mask(root: Path) -> None:
    (root / "trainannot" / f"{NAME}.png").write_bytes(b"no image")


def _empty_image(root: Path) -> None:
    (root / "train" / f"{NAME}.png").write_bytes(b"")


def _other_size(root: Path) -> None:
    save(root / "trainannot" / f"{NAME}.png", np.zeros((10, 12), np.uint8))


def _strange_label(root: Path) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[0, 0] = 40
    save(root / "trainannot" / f"{NAME}.png", mask)


def _anti_aliased(root: Path) -> None:
    mask = (street("train", 1)[1] % 12 * 20).astype(np.uint8)
    save(root / "trainannot" / f"{NAME}.png", cv2.GaussianBlur(mask, (7, 7), 0))


def _lossy_mask(root: Path) -> None:
    (root / "trainannot" / f"{NAME}.png").unlink()
    save(root / "trainannot" / f"{NAME}.jpg", np.zeros(SIZE, np.uint8))


def _colour_mask(root: Path) -> None:
    save(root / "trainannot" / f"{NAME}.png", CLASSES.decode(street("train", 1)[1]))


def _float_mask(root: Path) -> None:
    (root / "trainannot" / f"{NAME}.png").unlink()
    cv2.imwrite(str(root / "trainannot" / f"{NAME}.tif"), np.full(SIZE, 0.5, np.float32))


def _huge_label(root: Path) -> None:
    (root / "trainannot" / f"{NAME}.png").unlink()
    cv2.imwrite(str(root / "trainannot" / f"{NAME}.tif"), np.full(SIZE, 70000, np.int32))


def _turned_photo(root: Path) -> None:
    file = root / "train" / f"{NAME}.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(file).save(file, exif=exif)


def _turned_by_a_quarter(root: Path) -> None:
    file = root / "train" / f"{NAME}.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(file).save(file, exif=exif)


def _transparent(root: Path) -> None:
    file = root / "train" / f"{NAME}.png"
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[3, 4] = 0
    save(file, np.dstack([street("train", 1)[0], alpha]))


def _pages(root: Path) -> None:
    (root / "train" / f"{NAME}.png").unlink()
    page = Image.fromarray(street("train", 1)[0])
    page.save(root / "train" / f"{NAME}.tif", save_all=True, append_images=[page])


def _dark(root: Path) -> None:
    file = root / "train" / f"{NAME}.png"
    cv2.imwrite(str(file), street("train", 1)[0].astype(np.uint16) * 16)


def _copy_within(root: Path) -> None:
    for folder in ("train", "trainannot"):
        shutil.copy(root / folder / f"{NAME}.png", root / folder / "0001TP_000099.png")


def _leak(root: Path) -> None:
    shutil.copy(root / "train" / f"{NAME}.png", root / "val" / "0016E5_000099.png")
    shutil.copy(root / "trainannot" / f"{NAME}.png", root / "valannot" / "0016E5_000099.png")


def _straddling(root: Path) -> None:
    for folder in ("val", "valannot"):
        for file in (root / folder).iterdir():
            file.rename(file.with_name(file.name.replace("0016E5", "0001TP")))


def _blank(root: Path) -> None:
    save(root / "trainannot" / f"{NAME}.png", np.full(SIZE, 11, np.uint8))


@pytest.mark.parametrize(
    ("plant", "severity", "kind", "split", "file"),
    [
        (_missing_mask, "error", "unpaired", "train", f"train/{NAME}.png"),
        (_missing_image, "error", "unpaired", "train", f"trainannot/{NAME}.png"),
        (_missing_split, "error", "missing", "test", "missing test"),
        (_truncated_image, "error", "unreadable", "train", f"train/{NAME}.png"),
        (_truncated_jpeg, "error", "unreadable", "train", f"train/{NAME}.jpg"),
        (_unreadable_mask, "error", "unreadable", "train", f"trainannot/{NAME}.png"),
        (_empty_image, "error", "unreadable", "train", f"train/{NAME}.png"),
        (_other_size, "error", "size", "train", f"trainannot/{NAME}.png"),
        (_strange_label, "error", "label", "train", f"trainannot/{NAME}.png: label 40 on 0.03%"),
        (_anti_aliased, "error", "interpolated", "train", f"trainannot/{NAME}.png"),
        (_lossy_mask, "error", "compressed", "train", f"trainannot/{NAME}.jpg"),
        (_colour_mask, "error", "rgb", "train", f"trainannot/{NAME}.png"),
        (_float_mask, "error", "label", "train", f"trainannot/{NAME}.tif: value 0.5"),
        (_huge_label, "error", "label", "train", f"trainannot/{NAME}.tif: label 70000"),
        (_turned_photo, "warning", "exif", "train", f"train/{NAME}.png"),
        (_turned_by_a_quarter, "error", "size", "train", "EXIF orientation 6"),
        (_transparent, "warning", "alpha", "train", f"train/{NAME}.png"),
        (_pages, "warning", "pages", "train", f"train/{NAME}.tif"),
        (_dark, "error", "bands", "train", "3 band(s) of 16-bit integers, "),
        (_copy_within, "warning", "duplicate", "train", "0001TP_000099.png"),
        (_leak, "error", "leak", "train+val", "0016E5_000099.png"),
        (_straddling, "warning", "group", "train+val", "0001TP"),
        (_blank, "warning", "unlabeled", "train", f"trainannot/{NAME}.png"),
    ],
)
def test_each_fault_is_found_and_named(
    camvid11_root: Path, plant: Callable, severity: str, kind: str, split: str, file: str
) -> None:
    plant(camvid11_root)
    findings, _ = check(CamVid11(str(camvid11_root)))
    hits = [f for f in findings if (f.severity, f.kind, f.split) == (severity, kind, split)]
    assert len(hits) == 1, findings
    assert file in hits[0].message + " ".join(hits[0].files)
    assert {f.kind for f in findings} <= {kind, "absent"}  # and nothing else is reported


def test_a_clean_tree_is_silent(camvid11_root: Path, tmp_path: Path) -> None:
    source = CamVid11(str(camvid11_root))
    kinds = {finding.kind for finding in check(source)[0]}
    assert kinds <= {"absent"}  # six small images need not contain every class
    assert check_data(source, tmp_path / "report", strict=False) == 0


def test_all_faults_are_found_together_and_the_rest_is_still_measured(camvid11_root: Path) -> None:
    _missing_mask(camvid11_root)
    _straddling(camvid11_root)
    save(camvid11_root / "trainannot" / "0001TP_000002.png", np.full(SIZE, 200, np.uint8))
    save(camvid11_root / "train" / "0001TP_000003.png", np.zeros((9, 9, 3), np.uint8))
    findings, statistics = check(CamVid11(str(camvid11_root)))
    assert {"unpaired", "label", "size", "group"} <= {f.kind for f in findings}
    assert len(statistics["train"].records) == 3
    severities = [f.severity for f in findings]
    assert severities == sorted(severities)  # errors first


def test_reports_and_exit_codes(camvid11_root: Path, tmp_path: Path) -> None:
    source, out = CamVid11(str(camvid11_root)), tmp_path / "report"
    _blank(camvid11_root)
    assert check_data(source, out, strict=False) == 0
    assert check_data(source, out, strict=True) == 1
    _strange_label(camvid11_root)
    assert check_data(source, out, strict=False) == 1
    report = json.loads((out / "report.json").read_text())
    assert report["errors"] == 1
    assert report["findings"][0]["kind"] == "label"
    assert set(report["suggested_class_weights"]) == {
        "median_frequency",
        "enet",
        "effective_number",
    }
    assert "label 40" in (out / "report.md").read_text()
    assert len((out / "pairs.csv").read_text().splitlines()) == 14  # head and readable pairs
    for sheet in ("classes.png", "samples.png"):
        assert Image.open(out / sheet).size[0] > 300
    page = (out / "index.html").read_text()
    # Classes are HTML, not an image: readable in dark mode and on a phone, where cells have heads.
    assert "classes.png" not in page
    assert page.count('class="swatch"') == 12  # 11 classes and ignore
    assert page.count('class="bar"') == 3 * 12
    cells = [line for line in page.splitlines() if line.startswith("<tr><td>")]
    assert all(line.count("<td") - 1 == line.count("data-head=") for line in cells)
    assert "loss.class_weights=enet" in page


# Facts: % of pixels, void last (measured independently of this code).
# fmt: off
SHARES = {
    "train": [16.845, 23.259, 0.983, 31.658, 4.486, 9.724, 1.173, 1.127, 5.866, 0.639, 0.292,
              3.948],
    "val": [9.177, 25.962, 0.564, 28.953, 8.719, 16.336, 0.892, 3.078, 1.746, 0.651, 2.217,
            1.703],
    "test": [17.066, 24.605, 1.177, 25.807, 9.269, 11.253, 1.010, 1.184, 3.972, 0.634, 0.189,
             3.833],
}
# fmt: on
MEDIAN_FREQUENCY = [
    0.2793,
    0.2017,
    4.7865,
    0.149,
    1.0,
    0.4217,
    3.8467,
    1.9736,
    0.7889,
    6.3747,
    8.8587,
]  # fmt: skip
ENET = [5.603, 4.295, 33.574, 3.335, 15.486, 8.739, 31.542, 32.012, 12.829, 38.014, 43.907]


def test_the_facts_of_real_camvid(shared_data, tmp_path: Path) -> None:
    source = CamVid11(str(shared_data("camvid11")))
    assert check_data(source, tmp_path, strict=False) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    for split, shares in SHARES.items():
        got = [100 * share for share in report["splits"][split]["pixel_share"].values()]
        np.testing.assert_allclose(got, shares, atol=0.0005)
    weights = report["suggested_class_weights"]
    np.testing.assert_allclose(
        list(weights["median_frequency"].values()), MEDIAN_FREQUENCY, atol=1e-4
    )
    np.testing.assert_allclose(list(weights["enet"].values()), ENET, atol=6e-4)
    messages = [f["message"] for f in report["findings"]]
    assert [f["kind"] for f in report["findings"]] == ["group", "group"]
    assert "0001TP is in more than one split: 62 in train" in messages[0]
    assert "101 in val (frames 7959-8159, inside the range of train)" in messages[1]


def test_an_opaque_alpha_channel_is_not_a_finding(camvid11_root: Path) -> None:
    opaque = np.full((*SIZE, 1), 255, np.uint8)
    save(camvid11_root / "train" / f"{NAME}.png", np.dstack([street("train", 1)[0], opaque]))
    assert {f.kind for f in check(CamVid11(str(camvid11_root)))[0]} <= {"absent"}


def test_one_wrong_value_in_gray_masks_is_not_interpolation(camvid11_root: Path) -> None:
    mask = np.tile(np.arange(SIZE[1], dtype=np.uint8) % 11, (SIZE[0], 1))
    for row in range(SIZE[0]):
        mask[row] = np.roll(mask[row], row)
    mask[0, 0] = 40
    save(camvid11_root / "trainannot" / f"{NAME}.png", mask)
    (finding,) = (f for f in check(CamVid11(str(camvid11_root)))[0] if f.severity == "error")
    assert finding.kind == "label"


def test_the_terminal_names_the_files_of_a_leak(
    camvid11_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _leak(camvid11_root)
    assert check_data(CamVid11(str(camvid11_root)), tmp_path / "report", strict=False) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{NAME}.png = " in shown
    assert "0016E5_000099.png" in shown
