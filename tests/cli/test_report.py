"""`trevsnn report`, and its page in a browser where there is one."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from PIL import Image

from trevsnn.cli import main
from trevsnn.training import RunFolder

SECTIONS = ["curves", "test", "energy", "potentials", "memory", "spikes", "configuration"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def clip_run(tmp_path_factory, quick):
    """A run on recordings of a sensor that is not square."""
    root, generator = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    for i, split in product(range(12), ("train", "val")):
        place = root / "data" / split / ("<i>left", "$x$ right")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        columns = {"x": generator.integers(0, 48, 300), "y": generator.integers(0, 40, 300)}
        np.savez(place / f"{i}.npz", t=np.sort(generator.integers(0, 9999, 300)), p=np.ones(300, int), **columns)
    of_folder = ["--dataset", "folder", "--data", str(root / "data"), "--sensor-size", "40", "48", "--workers", "0"]
    options = ["6" if token == "240" else token for token in quick]
    assert main(["train", "events", *of_folder, *options, "--output", str(root / "run")]) == 0
    return root / "run"


class Elements(HTMLParser):
    """What a page consists of."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def attributes(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def check_page(page):
    elements = Elements(page)
    assert [s["id"] for s in elements.attributes("section")] == SECTIONS
    assert [a["href"] for a in elements.attributes("a")] == [f"#{section}" for section in SECTIONS]
    assert not elements.attributes("script")
    for tag, attributes in elements.found:
        for name in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value[:100])
        assert not any(name.startswith("on") for name in attributes)
    assert "http" not in re.sub(r"data:[^\"]*", "", page)
    assert "url(" not in page
    assert "@import" not in page
    for picture in elements.attributes("img"):
        assert len(picture["alt"]) > 20
        kind, content = picture["src"].split(";base64,")
        content = base64.b64decode(content)
        if kind == "data:image/svg+xml":
            links = re.findall(r"(?:href|src)=\"([^\"]*)\"", content.decode())
            assert all(link.startswith(("#", "data:")) for link in links)
    assert all(heading["scope"] in ("row", "col") for heading in elements.attributes("th"))
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in elements.attributes("meta")
    return elements


def test_page_of_images(trevsnn, digits_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    code, text, error = trevsnn("report", run)
    assert code == 0, error
    (row,) = RunFolder(run).read_metrics()
    assert f"{run / 'report.html'}: test accuracy {row['test_accuracy']:.2%} of 360 images" in text
    page = (run / "report.html").read_text(encoding="utf-8")
    assert len(page) < 3e6
    elements = check_page(page)
    assert len(elements.attributes("img")) == 4 + 1 + 2 + 4 + 4
    assert f"{row['test_accuracy']:.2%} of 360 test images are\nrecognised. Cross-entropy" in page
    assert ">batch_size</th><td>240</td>" in page
    assert "MB of a training step of 240 inputs of 32 x 32, fp32, on the CPU<" in page
    assert re.search(
        r">Measured 20\d\d-\d\d-\d\d \d\d:\d\d .* with trevsnn .* on .+ threads?; Python 3.*, PyTorch", page
    )
    assert ">training time</th><td>0:0" in page
    assert "remark: " in text
    assert re.search(r'<ul class="remarks".*<li>.*cannot be told from guessing', page)
    assert page.count("scroll sideways") == 3, "tables of many columns say so on a phone"
    assert ">channels</th><td>4, 4, 8, 8</td>" in page
    assert not list(run.rglob(".*.tmp"))


def test_energy_is_that_of_the_energy_command(trevsnn, digits_run, tmp_path):
    assert trevsnn("report", digits_run, "--images", 5, "--output", tmp_path / "a.html")[0] == 0
    assert trevsnn("energy", digits_run, "--images", 5, "--json", tmp_path / "a.json")[0] == 0
    *_, everything = json.loads((tmp_path / "a.json").read_text())
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "of 5 test images are\nrecognised; the data set has 360 of" in page
    assert f"<td>{everything['published_energy'] / 1e6:,.3f}</td>" in page
    assert f"<td>{everything['strict_energy'] / 1e6:,.3f}</td>" in page


def test_page_of_clips(trevsnn, clip_run, tmp_path):
    code, text, error = trevsnn("report", clip_run, "--images", 6, "--output", tmp_path / "a.html")
    assert code == 0, error
    assert "of 6 recordings" in text
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    check_page(page)
    assert "Inference of one recording, mean of 6" in page
    assert "MB of a training step of 6 inputs of 40 x 48, fp32, on the CPU" in page
    assert "&lt;i&gt;left" in page


def test_pictures_that_cannot_be_read(trevsnn, tmp_path, quick):
    generator = np.random.default_rng(0)
    for i, name, split in product(range(4), ("cat", "dog & <b>"), ("train", "val")):
        place = tmp_path / "data" / split / name
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (40, 40, 3), np.uint8)).save(place / f"{i}.png")
    network = ["--model", "trevsnn_digits", "--image-size", "32", "--workers", "0"]
    options = ["4" if token == "240" else token for token in quick]
    train = ["train", "imagefolder", "--data", tmp_path / "data", "--output", tmp_path / "run", *network, *options]
    assert trevsnn(*train)[0] == 0
    moved, broken = (tmp_path / "data").rename(tmp_path / "moved"), tmp_path / "moved" / "val" / "cat" / "0.png"
    broken.write_text("no picture")
    report = ["report", tmp_path / "run", "--data", moved, "--workers", 0]
    assert "cat/0.png' is not an image" in trevsnn(*report)[2]
    assert not (tmp_path / "run" / "report.html").exists()
    code, text, error = trevsnn(*report, "--skip-bad-images")
    assert code == 0, error
    assert "of 7 images" in text
    assert "\nleft out: " in text
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    check_page(page)
    assert "of 7 test images are\nrecognised; the data set has 8 of" in page
    assert "Left out, as they cannot be read: 1" in page
    assert "dog &amp; &lt;b&gt;" in page

    # another run in the same folder is none that the page is about
    train[train.index(tmp_path / "data")] = moved
    assert trevsnn(*train, "--overwrite", "--skip-bad-images")[0] == 0
    assert not (tmp_path / "run" / "report.html").exists()


def test_weights_of_the_best_epoch(trevsnn, digits_run, tmp_path):
    code, _, error = trevsnn("report", digits_run / "best.safetensors", "--images", 2, "--output", tmp_path / "a.html")
    assert code == 0, error
    assert "best.safetensors" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_refused(trevsnn, digits_run, tmp_path):
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(digits_run / "config.toml", unfinished)
    without = tmp_path / "without"
    shutil.copytree(digits_run, without)
    (without / "metrics.jsonl").unlink()
    broken = tmp_path / "broken"
    shutil.copytree(digits_run, broken)
    (broken / "metrics.jsonl").write_text("{")
    other = tmp_path / "other"
    shutil.copytree(digits_run, other)
    (other / "metrics.jsonl").write_text('{"epoch": 1, "loss": NaN, "test_accuracy": "high"}\n')
    lonely = tmp_path / "lonely.safetensors"
    shutil.copy(digits_run / "model.safetensors", lonely)
    page = tmp_path / "page.html"
    for tokens, message in [
        ((tmp_path / "nowhere",), "nowhere' does not exist"),
        ((tmp_path,), "is not a run folder"),
        ((lonely,), "is not a run folder"),
        ((unfinished,), f"unfinished' has not finished an epoch; continue it with --resume {unfinished}"),
        ((without,), "has no metrics.jsonl"),
        ((broken,), "metrics.jsonl': line 1 cannot be read"),
        (
            (other,),
            "line 1 cannot be read (test_loss is missing); remove the file and",
        ),
        ((digits_run, "--images", 0), "images=0 must be at least 1"),
        ((digits_run, "--data", tmp_path), "'digits', which comes with scikit-learn"),
        ((digits_run, "--output", tmp_path), "is a folder; give the name of a file"),
        ((digits_run, "--output", tmp_path / "no" / "x.html"), "'" + str(tmp_path / "no") + "' does not exist"),
    ]:
        output = () if "--output" in tokens else ("--output", page)
        code, _, error = trevsnn("report", *tokens, *output)
        assert code == 2
        assert error.startswith("trevsnn: error: ")
        assert error.count("\n") == 1
        assert message in error
        assert not page.exists()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1100])
def test_in_a_browser(trevsnn, digits_run, tmp_path, width):
    """A frame of that width, whose contents a script of ours measures."""
    assert trevsnn("report", digits_run, "--images", 8, "--output", tmp_path / "page.html")[0] == 0
    (tmp_path / "outer.html").write_text(
        f'<iframe src="page.html" style="width:{width}px;height:800px;border:0"></iframe><pre></pre>'
        """<script>
        onload = () => {
            const inner = document.querySelector("iframe").contentWindow, page = inner.document;
            const pictures = [...page.images].map(image => {
                const box = image.getBoundingClientRect();
                return [image.complete, image.naturalWidth, box.width, box.height];
            });
            const requests = inner.performance.getEntriesByType("resource").map(entry => entry.name);
            const overflow = page.documentElement.scrollWidth - inner.innerWidth;
            document.querySelector("pre").textContent = JSON.stringify({pictures, requests, overflow});
        };
        </script>"""
    )
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += " --disable-component-update --disable-sync --allow-file-access-from-files --enable-logging=stderr"
    done = subprocess.run(
        [
            str(CHROMIUM),
            *options.split(),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1200,900",
            "--virtual-time-budget=10000",
            "--dump-dom",
            f"file://{tmp_path / 'outer.html'}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    written = re.search(r"<pre>(\{.*?\})</pre>", done.stdout)
    assert written is not None, done.stderr
    seen = json.loads(written[1])
    assert len(seen["pictures"]) == 15
    for complete, natural, *size in seen["pictures"]:
        assert complete
        assert natural > 100
        assert min(size) > 50
        assert max(size) < 1100
        assert size[0] <= width
    assert [name for name in seen["requests"] if not name.startswith("data:")] == []
    assert seen["overflow"] <= 0
