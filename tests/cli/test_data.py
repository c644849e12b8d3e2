"""`clbench data check` and `clbench data prepare`."""

import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.streams import conftest as made_up
from typer.testing import CliRunner

from clbench.cli.data import app
from clbench.core.errors import ConfigError, DataError
from clbench.streams.card import load_stream
from clbench.streams.clip_domains.image_sets.image_set_facts import Archive, ImageSetFacts, facts_of

roots, new_root, write_card = made_up.roots, made_up.new_root, made_up.write_card
CHECK = "clbench.streams.clip_domains.image_sets.check_image_sets"
PREPARE = "clbench.streams.clip_domains.image_sets.prepare"


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return done.exit_code, done.stdout


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Downloads fail as they do without a network; returns what was asked for."""
    asked: list[str] = []

    def fail(url: str, *_: object) -> None:
        asked.append(url)
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fail)
    return asked


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the published numbers and checksums of sets those of the made-up ones."""

    def make(name: str, convention: str, **sizes: int) -> None:
        facts = facts_of(name)
        expected = {convention: facts.expected[convention].model_copy(update=sizes)}  # type: ignore[index]
        archives = tuple(archive.model_copy(update={"md5": None}) for archive in facts.archives)
        changed = facts.model_copy(update={"expected": expected, "archives": archives})
        for module in (CHECK, PREPARE):
            monkeypatch.setattr(f"{module}.facts_of", lambda wanted: changed if wanted == name else facts_of(wanted))

    return make


def test_a_complete_set(roots: dict[str, Path], write_card: Callable[..., str], small: Callable[..., None]) -> None:
    small("dtd", "coop", classes=2, train=10, validation=4, test=6)
    status, out = call("check", write_card("dtd"), "--root", str(roots["coop"]), "--images")
    assert status == 0, out
    assert "complete" in out
    assert "of" not in out.splitlines()[-2]


def test_numbers_that_differ_from_the_published(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    status, out = call("check", write_card("dtd", "mnist"), "--root", str(roots["coop"]), "--json")
    assert status == 2
    found = json.loads(out)
    assert found["complete"] is False
    dtd, mnist = found["sets"]
    assert dtd["folder"] == str(roots["coop"] / "dtd")
    assert dtd["numbers"]["train"] == {"found": 10, "published": 2820}
    assert dtd["problems"][0].endswith("classes: wanted the published 47, got 2")
    assert mnist["numbers"]["classes"] == {"found": 10, "published": 10}
    assert "validation" not in mnist["numbers"]


def test_what_is_missing_and_where_to_get_it(new_root: Callable[[str], Path], write_card: Callable[..., str]) -> None:
    root = new_root("coop")
    shutil.rmtree(root / "stanford_cars")
    (root / "dtd/split_zhou_DescribableTextures.json").unlink()
    (root / "food-101/images/waffles/107.jpg").unlink()
    status, out = call("check", write_card("stanford_cars", "dtd", "food101", "caltech101"), "--root", str(root))
    assert status == 2
    assert "Kaggle" in out
    assert "get split_zhou_DescribableTextures.json by hand from https://drive.google.com/" in out
    assert "1 of 6 listed images are missing, the first is 'waffles/107.jpg'" in out
    assert f"put it under {root / 'stanford_cars'}" in out
    assert "caltech101: wanted" not in out


def test_images_that_do_not_decode(
    new_root: Callable[[str], Path], write_card: Callable[..., str], small: Callable[..., None]
) -> None:
    small("dtd", "coop", classes=2, train=10, validation=4, test=6)
    root = new_root("coop")
    path = root / "dtd/images/banded/banded_0007.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    (root / "dtd/images/banded/banded_0008.jpg").write_bytes(b"")
    assert call("check", write_card("dtd"), "--root", str(root))[0] == 0
    status, out = call("check", write_card("dtd"), "--root", str(root), "--images")
    assert status == 2
    assert "2 of 6 images do not decode, the first is 'banded/banded_0007.jpg'" in out


def test_shots_that_cannot_be_drawn(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    _, out = call("check", write_card("dtd", shots=6), "--root", str(roots["coop"]))
    assert "has 5 training images, wanted 6 shots" in out


@pytest.mark.parametrize("command", ["check", "prepare"])
def test_what_cannot_be_checked(roots: dict[str, Path], write_card: Callable[..., str], command: str) -> None:
    with pytest.raises(ConfigError, match="stream 'clip-mini' is read by 'image-parquet'"):
        call(command, "clip-mini", "--root", str(roots["coop"]))
    with pytest.raises(DataError, match="/nowhere: no such folder"):
        call(command, write_card("dtd"), "--root", "/nowhere")


def archive(root: Path, folder: str, file: str) -> None:
    """Packs a folder of the root into an archive in it, with that folder's name at the top, and removes it."""
    source = root / folder
    if file.endswith(".zip"):
        with zipfile.ZipFile(root / file, "w") as zipped:
            for path in sorted(source.rglob("*")):
                zipped.write(path, str(path.relative_to(source.parent)))
    else:
        with tarfile.open(root / file, "w:gz") as opened:
            opened.add(source, source.name)
    shutil.rmtree(source)


@pytest.mark.parametrize(
    ("convention", "name", "packed"),
    [
        ("coop", "eurosat", {"eurosat/2750": "EuroSAT.zip"}),
        ("coop", "sun397", {"sun397/SUN397": "sun397/SUN397.tar.gz"}),
        ("torchvision", "oxford_pets", {"oxford-iiit-pet/images": "images.tar.gz"}),
        ("torchvision", "oxford_flowers", {"flowers-102/jpg": "flowers-102/102flowers.tgz"}),
        ("torchvision", "stanford_cars", {"stanford_cars/cars_train": "cars_train.tgz"}),
        ("torchvision", "cifar100", {"cifar-100-binary": "cifar-100-binary.tar.gz"}),
        ("torchvision", "food101", {"food-101": "food-101.tar.gz"}),
        ("torchvision", "aircraft", {"fgvc-aircraft-2013b": "fgvc-aircraft-2013b.tar.gz"}),
        ("task-arithmetic", "resisc45", {"resisc45/NWPU-RESISC45": "NWPU-RESISC45.zip"}),
    ],
)
def test_archives_in_the_root_are_unpacked(
    new_root: Callable[[str], Path],
    write_card: Callable[..., str],
    small: Callable[..., None],
    no_network: list[str],
    convention: str,
    name: str,
    packed: dict[str, str],
) -> None:
    small(name, convention)
    root = new_root(convention)
    card = write_card(name, convention=convention)
    before = load_stream(card, str(root)).tasks[0].fingerprint("test")
    for folder, file in packed.items():
        archive(root, folder, file)
    status, out = call("prepare", card, "--root", str(root))
    assert status == 0, out
    assert f"{name}: unpacked" in out
    assert f"{name}: ready" in out
    assert not no_network
    assert load_stream(card, str(root)).tasks[0].fingerprint("test") == before
    first = files_of(root)
    assert call("prepare", card, "--root", str(root)) == (0, f"{name}: ready\n")
    assert files_of(root) == first
    assert not list(root.rglob("*.part"))


def test_the_three_archives_of_the_traffic_signs(
    new_root: Callable[[str], Path], write_card: Callable[..., str], small: Callable[..., None], no_network: list[str]
) -> None:
    """Two of them fill one folder."""
    small("gtsrb", "task-arithmetic")
    root = new_root("task-arithmetic")
    card = write_card("gtsrb", convention="task-arithmetic")
    before = load_stream(card, str(root)).tasks[0].fingerprint("test")
    files = {
        "GTSRB-Training_fixed.zip": "GTSRB/Training",
        "GTSRB_Final_Test_Images.zip": "GTSRB/Final_Test/Images",
        "GTSRB_Final_Test_GT.zip": "GT-final_test.csv",
    }
    for file, inside in files.items():
        with zipfile.ZipFile(root / file, "w") as zipped:
            found = root / "gtsrb" / inside
            for path in sorted(found.rglob("*")) or [found]:
                zipped.write(path, str(path.relative_to(root / "gtsrb")))
    shutil.rmtree(root / "gtsrb")
    status, out = call("prepare", card, "--root", str(root))
    assert status == 0, out
    assert out.count("gtsrb: unpacked") == 3
    assert not no_network
    assert load_stream(card, str(root)).tasks[0].fingerprint("test") == before


def test_a_damaged_archive_leaves_nothing_behind(
    tmp_path: Path, write_card: Callable[..., str], small: Callable[..., None], no_network: list[str]
) -> None:
    small("food101", "coop")
    root = tmp_path / "root"
    root.mkdir()
    (root / "food-101.tar.gz").write_bytes(b"no archive")
    (root / "EuroSAT.zip").write_bytes(b"another file")
    status, out = call("prepare", write_card("food101", "eurosat", "mnist"), "--root", str(root))
    assert status == 2
    assert "food-101.tar.gz: cannot be unpacked" in out
    assert "EuroSAT.zip: damaged or another file: wanted the MD5 c8fa014336c82ac7804f0398fcb19387, got" in out
    assert "get split_zhou_Food101.json by hand" in out
    assert len([url for url in no_network if "mnist" in url]) == 4  # the others go on
    assert set(files_of(root)) == {"food-101.tar.gz", "EuroSAT.zip"}


@pytest.mark.parametrize("unsafe", ["../outside.jpg", "/outside.jpg", "a/../../outside.jpg"])
def test_archives_that_reach_outside_are_refused(
    tmp_path: Path, write_card: Callable[..., str], monkeypatch: pytest.MonkeyPatch, no_network: list[str], unsafe: str
) -> None:
    facts: ImageSetFacts = facts_of("eurosat").model_copy(
        update={"archives": (Archive(file="x.zip", into="eurosat", makes=("2750",), images=True),)}
    )
    monkeypatch.setattr(f"{PREPARE}.facts_of", lambda name: facts)
    root = tmp_path / "root"
    root.mkdir()
    with zipfile.ZipFile(root / "x.zip", "w") as zipped:
        zipped.writestr("2750/River/River_1.jpg", b"")
        zipped.writestr(unsafe, b"")
    status, out = call("prepare", write_card("eurosat"), "--root", str(root))
    assert status == 2
    assert "would land outside the folder: not unpacked" in out
    assert not (tmp_path / "outside.jpg").exists()
    assert not list(root.rglob("*.jpg"))


def test_links_in_tar_files_cannot_lead_outside(
    tmp_path: Path, write_card: Callable[..., str], small: Callable[..., None], no_network: list[str]
) -> None:
    small("food101", "torchvision")
    root = tmp_path / "root"
    root.mkdir()
    with tarfile.open(root / "food-101.tar.gz", "w:gz") as opened:
        link = tarfile.TarInfo("food-101/images")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        opened.addfile(link)
    status, out = call("prepare", write_card("food101", convention="torchvision"), "--root", str(root))
    assert status == 2
    assert "food-101.tar.gz: cannot be unpacked" in out
    assert not (root / "food-101").exists()


def test_files_are_downloaded_and_unpacked(
    new_root: Callable[[str], Path],
    write_card: Callable[..., str],
    small: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    small("oxford_pets", "torchvision")
    root = new_root("torchvision")
    card = write_card("oxford_pets", convention="torchvision")
    before = load_stream(card, str(root)).tasks[0].fingerprint("train")
    for name in ("images", "annotations"):
        archive(root, f"oxford-iiit-pet/{name}", f"{name}.tar.gz")
        (root / f"{name}.tar.gz").rename(tmp_path / f"{name}.tar.gz")
    (root / "oxford-iiit-pet/split_zhou_OxfordPets.json").unlink()
    (root / "oxford-iiit-pet").rmdir()

    def download(url: str, folder: str, file: str, md5: str | None) -> None:
        assert url.startswith("https://www.robots.ox.ac.uk/")
        shutil.copy(tmp_path / file, Path(folder) / file)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    status, out = call("prepare", card, "--root", str(root))
    assert status == 0, out
    assert out.count("downloaded https://") == 2
    assert load_stream(card, str(root)).tasks[0].fingerprint("train") == before
    assert not list(root.rglob("*.tar.gz"))
    assert call("prepare", card, "--root", str(root)) == (0, "oxford_pets: ready\n")
