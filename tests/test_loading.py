"""Finding labeling functions in modules and files."""

import sys
import uuid

import pytest

from lfkit.errors import DeclarationError
from lfkit.labeling.loading import load_lfs

HEAD = "from lfkit import ABSTAIN, labeling_function\n"


def rule(name, classes=(0,), kind="heuristic"):
    return (
        f"@labeling_function(classes={list(classes)}, kind={kind!r})\n"
        f"def {name}(image):\n    return ABSTAIN\n"
    )


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file in a folder of its own and give its path; forget imports after."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write_file(source, name="my_lfs.py"):
        path = tmp_path / name
        path.write_text(source)
        return str(path)

    yield write_file
    for name in set(sys.modules) - before:
        del sys.modules[name]


def names(*specs, **options):
    return [lf.name for lf in load_lfs(specs, **options).lfs]


def error(*specs, **options):
    with pytest.raises(DeclarationError) as caught:
        load_lfs(specs, **options)
    return str(caught.value)


def test_a_file_gives_its_functions_in_the_order_they_are_written(write):
    path = write(HEAD + rule("zebra") + rule("apple") + rule("mango"))
    assert names(path) == ["zebra", "apple", "mango"]


def test_a_module_gives_its_functions():
    assert len(names("lf_library.digits")) >= 10


def test_a_module_in_the_working_folder_is_found(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"rules_{uuid.uuid4().hex}"
    write(HEAD + rule("a") + rule("b"), f"{name}.py")
    assert names(name) == ["a", "b"]
    assert names(f"{name}:b") == ["b"]


def test_one_function_can_be_named(write):
    assert names(write(HEAD + rule("a") + rule("b")) + ":b") == ["b"]


def test_a_list_can_be_named(write):
    path = write(HEAD + rule("a") + rule("b") + rule("c") + "few = [c, a]\n")
    assert names(f"{path}:few") == ["c", "a"]


def test_the_list_lfs_decides_what_and_in_which_order(write):
    path = write(HEAD + rule("a") + rule("b") + rule("c") + "LFS = [c, a]\n")
    assert names(path) == ["c", "a"]
    assert names(f"{path}:b") == ["b"]


def test_a_function_with_two_names_is_one_function(write):
    assert names(write(HEAD + rule("a") + "alias = a\n")) == ["a"]


def test_several_specs_add_up(write):
    one = write(HEAD + rule("a"), "one.py")
    other = write(HEAD + rule("b") + rule("c"), "other.py")
    assert names(one, f"{other}:c") == ["a", "c"]


def test_a_file_named_twice_runs_once(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(HEAD + "import uuid\nCLASSES = [uuid.uuid4().hex]\n" + rule("lo"))
    assert names(f"{path}:lo", "my_lfs.py:lo", path) == ["lo"]


def test_a_file_imports_helpers_beside_it(write):
    helper = f"helper_{uuid.uuid4().hex}"
    write("LIMIT = 7\n", f"{helper}.py")
    path = write(
        HEAD + f"from {helper} import LIMIT\nCLASSES = [str(LIMIT)]\n" + rule("a")
    )
    assert load_lfs([path]).class_names == ("7",)


def test_classes_are_named_by_the_file(write):
    path = write(HEAD + 'CLASSES = ["cat", "dog"]\n' + rule("a"))
    assert load_lfs([path]).class_names == ("cat", "dog")
    plain = write(HEAD + rule("b"), "plain.py")
    assert load_lfs([plain]).class_names is None
    assert load_lfs([path, plain]).class_names == ("cat", "dog")
    assert load_lfs([plain, path]).class_names == ("cat", "dog")


def test_a_class_that_classes_does_not_name_is_an_error(write):
    path = write(HEAD + 'CLASSES = ["cat", "dog"]\n' + rule("a", [1, 3]))
    assert error(path) == (
        "labeling function 'a' declares class 3, but CLASSES has 2 names (cat, dog), "
        "for classes 0..1; add the name or correct classes=[...]."
    )


def test_kinds_choose_functions(write):
    path = write(
        HEAD + rule("a") + rule("b", kind="deep") + rule("c", kind="image-processing")
    )
    assert names(path, kinds=["deep", "heuristic"]) == ["a", "b"]
    assert names(path, kinds=[]) == ["a", "b", "c"]


def test_snorkels_functions_are_found(write):
    path = write(
        "from snorkel.labeling import LabelingFunction, labeling_function\n"
        "@labeling_function()\ndef a(x):\n    return 0\n"
        "b = LabelingFunction('renamed', lambda x: 1)\n"
    )
    assert names(path) == ["a", "renamed"]
    assert [lf.classes for lf in load_lfs([path]).lfs] == [None, None]


def test_a_missing_file_names_the_forms_of_a_spec(tmp_path):
    message = error(str(tmp_path / "none.py"))
    assert "there is no file" in message
    assert "a module (lf_library.fashion), a file (my_lfs.py) or one name" in message


@pytest.mark.parametrize(
    "name", ["no_such_module", "lf_library.no_such", "no/such", "no_such_module:name"]
)
def test_a_missing_module_names_the_forms_of_a_spec(name):
    message = error(name)
    assert f"there is no module {name.split(':')[0]!r}; --lfs takes a module" in message


def test_a_link_to_what_is_no_python_is_an_error(write, tmp_path):
    write(HEAD + rule("a"), "notes.txt")
    (tmp_path / "link.py").symlink_to(tmp_path / "notes.txt")
    message = error(str(tmp_path / "link.py"))
    assert "link.py is not a Python file; --lfs takes a module" in message


def test_a_missing_name_is_named(write):
    assert error(write(HEAD + rule("a")) + ":b").endswith("my_lfs.py has no 'b'.")


def test_a_file_without_functions_says_how_to_make_one(write):
    message = error(write("def plain(image):\n    return 0\n"))
    assert "defines no labeling function; decorate one with @labeling_fu" in message


def test_a_plain_function_is_no_labeling_function(write):
    path = write("def plain(image):\n    return 0\n")
    message = error(f"{path}:plain")
    assert "my_lfs.py:plain is <function plain" in message
    assert "decorate it with @labeling_function(classes=[...])" in message


def test_a_plain_function_in_lfs_is_an_error_too(write):
    path = write("def plain(image):\n    return 0\nLFS = [plain]\n")
    assert "my_lfs.py:LFS is <function plain" in error(path)


def test_two_functions_of_one_name_are_an_error(write):
    one, other = (write(HEAD + rule("a"), name) for name in ("one.py", "other.py"))
    message = error(one, other)
    assert f"two labeling functions are named 'a' (one in {other}); rename" in message


def test_different_classes_are_an_error(write):
    one = write(HEAD + "CLASSES = ['x', 'y']\n" + rule("a"), "one.py")
    other = write(HEAD + "CLASSES = ['y', 'x']\n" + rule("b"), "other.py")
    message = error(one, other)
    assert "is ['y', 'x'], but an earlier --lfs has ['x', 'y']; both must" in message


@pytest.mark.parametrize(
    "classes", ["'xy'", "[0, 1]", "['x', 'x']", "{'x', 'y'}", "10"]
)
def test_classes_that_are_no_list_of_names_are_an_error(write, classes):
    message = error(write(HEAD + f"CLASSES = {classes}\n" + rule("a")))
    assert "must be a list of different names, one per class; got" in message


def test_an_unknown_kind_names_the_kinds(write):
    message = error(write(HEAD + rule("a")), kinds=["magic"])
    assert "no kind 'magic'; choose from heuristic, image-processing, deep" in message


def test_a_kind_that_no_function_has_is_an_error(write):
    message = error(write(HEAD + rule("a") + rule("b")), kinds=["deep"])
    assert message == "there is no labeling function of kind deep."


def test_a_syntax_error_names_its_line(write):
    message = error(write("x = 1\ny = = 2\n"))
    assert "my_lfs.py cannot be imported (line 2): SyntaxError: invalid syn" in message


def test_an_error_while_importing_names_its_line(write):
    message = error(write("x = 1\n\ndef f():\n    return 1 / 0\n\nf()\n"))
    assert "cannot be imported (line 4): ZeroDivisionError: division by z" in message


def test_a_missing_import_names_its_line(write):
    message = error(write("x = 1\nimport no_such_library\n"))
    assert "(line 2): ModuleNotFoundError: No module named 'no_such_lib" in message


def test_a_broken_helper_is_blamed_not_the_file(write):
    helper = f"helper_{uuid.uuid4().hex}"
    write("x = 1\n\n\ny = = 2\n", f"{helper}.py")
    message = error(write(f"x = 1\nimport {helper}\n"))
    assert "my_lfs.py cannot be imported (line 2): SyntaxError: invalid" in message
    assert f"({helper}.py, line 4)" in message


def test_a_wrong_declaration_is_shown_with_its_line(write):
    message = error(write(HEAD + rule("a", classes=[-1])))
    assert "my_lfs.py (line 2): classes of labeling function 'a' contain -1" in message


def test_a_modules_own_missing_import_is_not_a_missing_module(
    write, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    name = f"pack_{uuid.uuid4().hex}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "lfs.py").write_text(f"import {name}.missing\n")
    message = error(f"{name}.lfs")
    assert f"{name}.lfs cannot be imported: ModuleNotFoundError: No module" in message


def test_a_file_that_failed_can_be_loaded_once_it_is_mended(write):
    error(write("x = = 1\n"))
    assert names(write(HEAD + rule("a"))) == ["a"]


def test_a_missing_module_of_a_package_is_told_those_that_are_there():
    said = error("lf_library.clothes")
    assert "clothing" in said
    assert "_clothing_features" not in said
