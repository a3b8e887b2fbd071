"""What changes a function's key, and what does not."""

import collections
import contextlib
import functools
import importlib
import os
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import lfkit
from lfkit import NearestMean, Quantile, feature, labeling_function
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.modules import with_imports


def define(source, name="f"):
    """Give one object that some source code defines."""
    found = {"__name__": "users_module"}
    exec(source, found)
    return found[name]


def key(source, name="f"):
    return fingerprint(define(source, name))


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write modules and give function `f` of the first, freshly imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written = set()

    def forget():
        for name in [n for n in sys.modules if n.split(".")[0] in written]:
            del sys.modules[name]

    def write(**sources):
        forget()
        for name, source in sources.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)
            written.add(name.split("__")[0])
        importlib.invalidate_caches()
        return importlib.import_module(next(iter(sources)).replace("__", ".")).f

    yield write
    forget()


PLAIN = "def f(x, cut=3):\n    return x.mean() > cut\n"


@pytest.mark.parametrize(
    "same",
    [
        "def f(x, cut=3):\n    # why\n    return x.mean() > cut\n",
        "\n\ndef f(\n    x,\n    cut=3,\n):\n\n  return (x.mean()\n     > cut)\n",
        "def f(x, cut=3):\n    'Doc.'\n    return x.mean() > cut\n",
        "def f(x, cut=3):\n    'Other doc.'\n    return x.mean() > cut\n",
        "def f(x: 'image', cut: float = 3) -> bool:\n    return x.mean() > cut\n",
    ],
    ids=["comment", "layout", "docstring", "another docstring", "annotations"],
)
def test_what_changes_no_result_changes_no_key(same):
    assert key(same) == key(PLAIN)


def test_a_docstring_moves_the_constants_but_not_the_key():
    bare = "def f(x):\n    x.sort()\n    return 'a' if x else 1.5\n"
    assert key(bare.replace("x):\n", "x):\n    'Doc.'\n")) == key(bare)


@pytest.mark.parametrize(
    "other",
    [
        "def f(x, cut=3):\n    return x.mean() >= cut\n",
        "def f(x, cut=3):\n    return x.max() > cut\n",
        "def f(x, cut=3):\n    return x.mean() > cut + 1\n",
        "def f(x, cut=4):\n    return x.mean() > cut\n",
        "def f(x, cut=3.0):\n    return x.mean() > cut\n",
        "def f(x, *, cut=3):\n    return x.mean() > cut\n",
    ],
    ids=["operator", "method", "constant", "default", "type of default", "keyword"],
)
def test_what_may_change_a_result_changes_the_key(other):
    assert key(other) != key(PLAIN)


def test_a_string_that_comes_first_is_no_docstring():
    assert key("f = lambda: 'a'") != key("f = lambda: 'b'")
    assert key("def f():\n    return 'a'") != key("def f():\n    return 'b'")


def test_constants_change_the_key_even_if_they_change_places():
    assert key("f = lambda x: (x, 1.5, 2.5)") != key("f = lambda x: (x, 2.5, 1.5)")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CUT = 3", "CUT = 4"),
        ("CUT = {'a': 3}", "CUT = {'a': 4}"),
        ("import numpy\nCUT = numpy.zeros(3)", "import numpy\nCUT = numpy.ones(3)"),
        ("def CUT(): return 3", "def CUT(): return 4"),
        ("def help(): return 3\ndef CUT(): return help()",) * 1
        + ("def help(): return 4\ndef CUT(): return help()",),
        ("class CUT:\n  def m(self): return 3", "class CUT:\n  def m(self): return 4"),
        ("class CUT:\n  size = 3", "class CUT:\n  size = 4"),
    ],
    ids=["number", "dict", "array", "helper", "helper's helper", "method", "attribute"],
)
def test_what_a_function_names_is_part_of_it(one, other):
    use = "\ndef f(x):\n    return [x for _ in x if CUT]\n"
    assert key(one + use) == key(one + use)
    assert key(one + use) != key(other + use)


def test_a_closure_is_part_of_a_function():
    make = "def make(cut):\n    return lambda x: x > cut\n"
    assert key(f"{make}f = make(3)") == key(f"{make}f = make(3)")
    assert key(f"{make}f = make(3)") != key(f"{make}f = make(4)")


def test_an_arrays_content_counts_not_its_layout():
    rows = np.arange(6).reshape(2, 3)
    assert fingerprint(rows) == fingerprint(np.asfortranarray(rows))
    assert fingerprint(rows) != fingerprint(rows.reshape(3, 2))
    assert fingerprint(rows) != fingerprint(rows.astype(np.int32))
    assert fingerprint(np.array([{"a": 1}])) != fingerprint(np.array([{"a": 2}]))


F_USES = "def f(x):\n    return helpers.g(x)\n"


@pytest.mark.parametrize(
    "use",
    [
        f"import helpers\n{F_USES}",
        "from helpers import g\ndef f(x):\n    return g(x)\n",
        "def f(x):\n    import helpers\n    return helpers.g(x)\n",
        "def f(x):\n    from helpers import g\n    return g(x)\n",
    ],
    ids=["module", "name", "module inside", "name inside"],
)
def test_a_helper_in_another_module_is_part_of_a_function(modules, use):
    before = fingerprint(modules(users=use, helpers="def g(x): return x\n"))
    again = fingerprint(modules(users=use, helpers="def g(x): return x\n"))
    after = fingerprint(modules(users=use, helpers="def g(x): return -x\n"))
    assert before == again != after


@pytest.mark.parametrize(
    "use",
    [
        f"from pack import helpers\n{F_USES}",
        f"from . import helpers\n{F_USES}",
        "def f(x):\n    from pack import helpers\n    return helpers.g(x)\n",
        "def f(x):\n    from . import helpers\n    return helpers.g(x)\n",
        "def f(x):\n    from .helpers import g\n    return g(x)\n",
    ],
    ids=["module", "relative", "inside", "relative inside", "relative name inside"],
)
def test_a_helper_in_a_package_is_part_of_a_function(modules, use):
    def written(body):
        helper = f"def g(x): return {body}\n"
        return modules(pack__users=use, pack__helpers=helper, pack____init__="")

    before, again = fingerprint(written("x")), fingerprint(written("x"))
    assert before == again != fingerprint(written("-x"))


def test_an_unused_neighbour_in_another_module_is_not(modules):
    use = f"import helpers\n{F_USES}"
    before = modules(users=use, helpers="def g(x): return x\n")
    before = fingerprint(before)
    after = modules(users=use, helpers="def other(): ...\ndef g(x): return x\n")
    assert before == fingerprint(after)


def test_recursion_ends():
    source = "def f(x):\n    return f(x - 1) if x else {}\n"
    assert key(source.format(0)) == key(source.format(0)) != key(source.format(1))


EACH_OTHER = """
def f(x):
    return g(x - 1) if x else {}
def g(x):
    return f(x - 2)
both = {{f, g}}
"""


def test_mutual_recursion_ends():
    for name in ("f", "g"):
        assert key(EACH_OTHER.format(0), name) == key(EACH_OTHER.format(0), name)
        assert key(EACH_OTHER.format(0), name) != key(EACH_OTHER.format(1), name)


def test_where_one_starts_in_a_cycle_does_not_matter():
    both = define(EACH_OTHER.format(0), "both")
    f, g = sorted(both, key=lambda function: function.__name__)
    assert fingerprint({"a": f, "b": g}) == fingerprint({"b": g, "a": f})
    keys = {fingerprint(define(EACH_OTHER.format(0), "both")) for _ in range(8)}
    assert len(keys) == 1  # a set of functions has another order each time


def test_what_a_cycle_leads_back_to_matters():
    source = "def f(): return g()\ndef g(): return other()\nother = {}"
    assert key(source.format("f")) != key(source.format("g"))


def test_a_class_that_names_itself_ends():
    source = """
class f:
    def copy(self):
        return f()
    def __repr__(self):
        return super().__repr__() + {!r}
"""
    assert key(source.format("a")) == key(source.format("a")) != key(source.format("b"))


def test_a_structure_that_holds_itself_ends():
    ring = [1]
    ring.append(ring)
    assert len(fingerprint(ring)) == 32


@pytest.mark.parametrize(
    "source",
    [
        "f = lambda x: x + {}",
        "import functools\nf = functools.partial(max, {})",
        "import functools\nf = functools.partial(max, key={})",
        "import functools\n@functools.cache\ndef f(x): return {}",
        "import functools\n@functools.wraps(print)\ndef f(x): return {}",
        "class A:\n    def __init__(self, n): self.n = n\n    def m(self): ...\n"
        "f = A({}).m",
        "class A:\n    def m(self): return {}\nf = A().m",
        "class A:\n    __slots__ = ['n']\nf = A()\nf.n = {}",
        "class f:\n    @staticmethod\n    def m(): return {}",
        "class f:\n    @property\n    def m(self): return {}",
        "import functools\nclass f:\n"
        "    @functools.cached_property\n    def m(self): return {}",
        "class A:\n    def m(self): return {}\nclass f(A): ...",
        "import dataclasses\n@dataclasses.dataclass\nclass f:\n    n: int = {}",
        "import enum\nclass f(enum.Enum):\n    A = {}",
        "class A:\n    def __call__(self, x): return {}\nf = A()",
        "class A:\n    def identity(self, n): return n\nf = A()\nf.n = {}",
        "import types\nf = types.MappingProxyType(dict(a={}))",
        "import collections\nf = collections.OrderedDict(a={})",
        "import collections\nf = collections.Counter(a={})",
        "import re\nf = re.compile('{}')",
        "import pathlib\nf = pathlib.Path('{}')",
        "import numpy\nf = numpy.random.default_rng({})",
        "f = {{1, 2, {}}}",
        "f = ({},)",
        "f = range({})",
        "f = b'{}'",
    ],
)
def test_every_kind_of_object_counts_by_content(source):
    assert key(source.format(7)) == key(source.format(7))
    assert key(source.format(7)) != key(source.format(8))


def test_a_class_that_only_moved_is_the_same():
    assert key("class f:\n    n = 1") == key("\n\nclass f:\n    'Doc.'\n    n = 1")


def test_order_matters_in_lists_only():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"x", "y", "z"}) == fingerprint({"z", "y", "x"})
    assert fingerprint([1, 2]) != fingerprint([2, 1])
    assert fingerprint([1]) != fingerprint((1,))


def test_values_that_compare_equal_may_differ():
    assert len({fingerprint(value) for value in (1, True, 1.0, "1", np.int64(1))}) == 5
    assert fingerprint(float("nan")) == fingerprint(float("nan"))
    assert fingerprint(0.0) != fingerprint(-0.0)


def test_a_function_without_a_module_can_be_hashed():
    code = (lambda: 1).__code__
    assert fingerprint(types.FunctionType(code, {})) == fingerprint(lambda: 1)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.bool])
def test_tensors_count_by_content(kind):
    ones = torch.ones(2, 3, dtype=kind)
    assert fingerprint(ones) == fingerprint(ones.clone())
    assert fingerprint(ones) != fingerprint(torch.zeros(2, 3, dtype=kind))
    assert fingerprint(ones) != fingerprint(ones.T)
    assert fingerprint(ones) != fingerprint(ones.to(torch.float64))


def network(*, activation=nn.ReLU, rate=0.5, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 2), activation(), nn.Dropout(rate))


def test_networks_count_by_weights_layers_and_settings():
    keys = [
        fingerprint(network()),
        fingerprint(network(seed=1)),
        fingerprint(network(activation=nn.Tanh)),
        fingerprint(network(rate=0.1)),
        fingerprint(network().eval()),
    ]
    assert len(set(keys)) == 5
    assert fingerprint(network()) == keys[0]


class Scaled(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return self.scale * x


def test_a_users_network_counts_its_plain_attributes():
    assert fingerprint(Scaled(2)) == fingerprint(Scaled(2)) != fingerprint(Scaled(3))


PROCESS = """
import collections, functools
import numpy as np
from lf_library import digits
from lfkit.runs.cache_keys import fingerprint

NAMES = {"one", "two", "three", "four"}
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
def rule(image): return image.mean() > len(NAMES) and even(3)

values = [rule, {even, odd}, NAMES, collections.Counter("abca"), np.arange(3)]
values += [functools.partial(rule, image=NAMES), Exception, print, np.sum]
print([fingerprint(value) for value in values + digits.LFS])
"""


def test_keys_are_equal_in_every_process():
    runs = [
        subprocess.run(
            [sys.executable, "-c", PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) > 1000


def test_what_was_hashed_before_does_not_matter():
    from lf_library import digits

    alone = [fingerprint(lf) for lf in digits.LFS]
    together = fingerprint(digits.LFS)
    assert alone == [fingerprint(lf) for lf in reversed(digits.LFS)][::-1]
    assert together == fingerprint(digits.LFS)


@feature
def brightness(image):
    return image.mean()


def bright(value, *, cut):
    return 1 if value > cut else -1


def declared(name="bright", **changes):
    options = {
        "classes": [1],
        "features": [brightness],
        "thresholds": {"cut": Quantile(brightness, 0.5)},
        **changes,
    }
    return labeling_function(**options, name=name)(bright)


def test_a_labeling_functions_name_and_kind_are_not_part_of_its_key():
    assert fingerprint(declared("a")) == fingerprint(declared("b", kind="deep"))


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": [0]},
        {"thresholds": {"cut": Quantile(brightness, 0.6)}},
        {"thresholds": {"cut": Quantile(brightness, 0.5, among="others")}},
        {"thresholds": {"cut": NearestMean(brightness)}},
        {"features": [feature(lambda image: image.max())]},
        {"soft": True},
        {"batched": True},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_what_a_labeling_function_depends_on_is_part_of_its_key(changes):
    assert fingerprint(declared(**changes)) != fingerprint(declared())


def test_what_was_learned_is_part_of_the_key():
    cut = Quantile(brightness, 0.5)
    low, high = (
        declared(thresholds={"cut": cut.with_learned({"cut": np.asarray(value)})})
        for value in (1.0, 2.0)
    )
    assert len({fingerprint(lf) for lf in (declared(), low, high)}) == 3


def test_ordered_dictionaries_keep_their_order():
    one, other = (collections.OrderedDict.fromkeys(order, 1) for order in ("ab", "ba"))
    assert fingerprint(one) != fingerprint(other)


def test_a_partial_is_not_its_function():
    assert fingerprint(functools.partial(bright)) != fingerprint(bright)


def test_a_module_counts_with_the_modules_it_imports(tmp_path, monkeypatch):
    (tmp_path / "outer_helper.py").write_text("from inner_helper import SCALE\n")
    inner = tmp_path / "inner_helper.py"
    inner.write_text("SCALE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def scaled(image):
        import outer_helper

        return image * outer_helper.SCALE

    before = fingerprint(scaled)
    assert fingerprint(scaled) == before
    inner.write_text("SCALE = 2\n")
    assert fingerprint(scaled) != before


@pytest.mark.parametrize("is_pressed", [True, False])
def test_ctrl_c_while_an_object_is_hashed_stops(is_pressed):
    class Object:
        def __reduce_ex__(self, protocol):
            if not is_pressed:
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)
            while True:  # until the signal arrives
                pass

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stopped = pytest.raises(KeyboardInterrupt)
    try:
        with stopped if is_pressed else contextlib.nullcontext():
            assert fingerprint(Object()) == fingerprint(Object())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_packages_of_another_python_are_known_by_version(tmp_path, monkeypatch):
    packages = tmp_path / "lib" / "dist-packages"
    packages.mkdir(parents=True)
    (packages / "of_another_python.py").write_text('__version__ = "1.2"\n')
    monkeypatch.syspath_prepend(packages)
    # To be hashed by content, all that torch imports would be read.
    assert with_imports("of_another_python") == [("of_another_python", None)]


_KEYS = """
import sys
sys.path.insert(0, sys.argv[1])
import lfkit
from lfkit.labeling.loading import load_lfs
from lfkit.runs.cache_keys import fingerprint

assert lfkit.__file__.startswith(sys.argv[1]), lfkit.__file__
for name in ("cifar10", "digits"):
    for lf in load_lfs([f"lf_library.{name}"]).lfs:
        print(name, lf.name, fingerprint(lf))
"""


def test_keys_do_not_depend_on_where_lfkit_is_installed(tmp_path):
    here = Path(lfkit.__file__).resolve().parents[1]
    for package in ("lfkit", "lf_library"):
        shutil.copytree(here / package, tmp_path / package)
    found = []
    for root in (here, tmp_path):
        told = subprocess.run(
            [sys.executable, "-c", _KEYS, str(root)],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
        )
        found.append(told.stdout.splitlines())
    assert len(found[0]) > 40
    assert found[0] == found[1]
