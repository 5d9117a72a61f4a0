"""From ReLU to single-step spikes to T steps."""

import collections
import copy
import dataclasses
import functools
import re
import sys
import types
import warnings

import pytest
import torch
import torch.nn.functional as F
from helpers import REFERENCE, seeded
from torch import nn
from torch.nn.utils import prune

import fastlif
from fastlif import LIF, MultiStep, Noise, NoisyLIF
from fastlif.models import on_its_device


def small(**keywords):
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(384, 32), nn.ReLU()
    return fastlif.convert(nn.Sequential(*layers, nn.Linear(32, 10)), **(REFERENCE | keywords)).eval()


def test_a_shared_relu_becomes_a_shared_neuron():
    relu = nn.ReLU()
    model = fastlif.convert(nn.Sequential(relu, nn.Linear(2, 2), relu))
    assert model[0] is model[2] and isinstance(model[0], NoisyLIF)
    assert isinstance(fastlif.convert(relu), NoisyLIF)


def test_neuron_and_keywords():
    model = fastlif.convert(nn.Sequential(nn.ReLU()), LIF, timesteps=4, decay=0.9)
    assert isinstance(model[0], LIF) and model[0].decay == 0.9 and model[0].training
    assert not fastlif.convert(nn.Sequential(nn.ReLU()).eval())[0].training
    assert isinstance(fastlif.convert(nn.Sequential(nn.ReLU()), lambda: nn.Tanh())[0], nn.Tanh)


def test_other_activations():
    class Own(nn.ReLU):
        def forward(self, input):
            return F.relu(input)  # which is not warned of where the module is swapped

    model = nn.Sequential(nn.ReLU(), nn.ReLU6(), Own(), nn.Sequential(nn.Hardtanh()))
    with pytest.warns(UserWarning, match=r"swap: Hardtanh \(3.0\). Only"):
        kinds = [type(m) for m in fastlif.convert(model, activations=(nn.ReLU, nn.ReLU6)).modules()][1:]
    assert kinds == [NoisyLIF, NoisyLIF, NoisyLIF, nn.Sequential, nn.Hardtanh]
    with pytest.warns(UserWarning, match=r"swap: ReLU \(0\); ReLU6 \(1\). Only modules of the types in activations"):
        kinds = [type(m) for m in fastlif.convert(model, {"[0-2]*": NoisyLIF}, activations=Own).children()]
    assert kinds == [nn.ReLU, nn.ReLU6, NoisyLIF, nn.Sequential]


def patterned():
    block = nn.Sequential(nn.ReLU(), nn.GELU(), nn.ReLU())
    return nn.ModuleDict({"stem": nn.Sequential(nn.ReLU()), "layer1": block, "layer2": copy.deepcopy(block)})


def swapped(model, *args, **keywords):
    """Each activation's name and what it became."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        converted = fastlif.convert(model, *args, **keywords)
    parts = {name: module for name, module in converted.named_modules() if not list(module.children())}
    return parts, [str(warning.message) for warning in caught]


def test_another_neuron_by_name():
    """The first pattern decides, None leaves what it matches, and what no pattern matches stays."""
    lif = functools.partial(LIF, decay=0.9)
    rules = {"stem.*": lif, "*.2": NoisyLIF, "layer[2].*": None, "layer1.?": LIF}
    kinds = {name: type(m) for name, m in swapped(patterned(), rules)[0].items()}
    assert kinds == {"stem.0": LIF, "layer1.0": LIF, "layer1.1": nn.GELU, "layer1.2": NoisyLIF,
                     "layer2.0": nn.ReLU, "layer2.1": nn.GELU, "layer2.2": NoisyLIF}  # fmt: skip
    made, _ = swapped(patterned(), rules, threshold=2.0)
    assert made["stem.0"].decay == 0.9 and made["stem.0"].threshold == made["layer2.2"].threshold == 2.0
    assert type(fastlif.convert(nn.ReLU(), {"": LIF})) is LIF
    called_model = nn.ModuleDict({"model": nn.Sequential(nn.ReLU())})
    assert type(fastlif.convert(called_model, {"model.0": LIF})["model"][0]) is LIF


def test_what_the_patterns_leave_is_not_warned_of():
    assert swapped(patterned(), {"stem.*": NoisyLIF})[1] == []
    assert swapped(patterned(), {"layer?.1": None, "*": NoisyLIF}, activations=(nn.ReLU, nn.GELU))[1] == []
    assert "swap: GELU (layer1.1). Only" in swapped(patterned(), {"layer2.*": None, "*": NoisyLIF})[1][0]
    model = nn.Sequential(Functional(), nn.ReLU())
    assert swapped(model, {"1": NoisyLIF})[1] == swapped(model, {"0.*": None, "*": NoisyLIF})[1] == []
    assert "F.relu in Functional (0)" in swapped(model, {"0.*": NoisyLIF})[1][0]


def test_a_shared_relu_in_the_places_of_two_patterns():
    relu = nn.ReLU()
    model = fastlif.convert(nn.Sequential(relu, relu, relu, relu), {"0": LIF, "3": None, "*": NoisyLIF})
    assert [type(m) for m in model] == [LIF, NoisyLIF, NoisyLIF, nn.ReLU] and model[1] is model[2]
    block = nn.Sequential(nn.ReLU())
    model = fastlif.convert(nn.Sequential(block, block), {"1.*": LIF})
    assert type(model[0][0]) is LIF, "a shared part has both names"


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu, self.gelu = nn.ReLU(), nn.GELU()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return F.relu(self.linear(self.relu(x))) + torch.relu(x).clamp(max=1) + self.gelu(x)


class SameName:
    class GELU(nn.Module):
        """Called like PyTorch's own, as timm's is."""

        def forward(self, x):
            return F.gelu(x)


def test_what_could_not_be_swapped_is_said():
    with pytest.warns(UserWarning) as caught:
        fastlif.convert(nn.Sequential(Functional(), Functional(), nn.ReLU()))
    message = str(caught[0].message)
    assert "2 x F.relu in Functional (0, ...); 2 x torch.relu in Functional (0, ...)" in message
    assert "2 x GELU (0.gelu, ...)" in message and "self.relu" not in message
    with pytest.warns(UserWarning, match=r"the function relu \(0.activation\)"):
        fastlif.convert(nn.Sequential(nn.TransformerEncoderLayer(8, 2), nn.ReLU()))
    with pytest.warns(UserWarning, match=r'swap: RNN with nonlinearity="relu" \(0\). Only'):
        fastlif.convert(nn.Sequential(nn.RNN(2, 2, nonlinearity="relu"), nn.RNN(2, 2), nn.ReLU()))
    with pytest.warns(UserWarning, match=r"swap: F.gelu in test_conversion.SameName.GELU \(0\). Only"):
        fastlif.convert(nn.Sequential(SameName.GELU(), nn.ReLU()), activations=(nn.ReLU, nn.GELU))
    listed = nn.Sequential(nn.ReLU())
    listed.more = [nn.ReLU()]
    with pytest.warns(UserWarning, match=r"modules in a plain list \(more\)"):
        fastlif.convert(listed)


CELL = """
from functools import partial, wraps
import torch
import torch.nn.functional as F
from torch import nn

act = F.relu
clip = torch.clamp

def helper(x):
    return x.relu()

def decorated(method):
    return wraps(method)(lambda *inputs: method(*inputs))

class Net(nn.Module):
    fixed = staticmethod(F.elu)

    def __init__(self):
        super().__init__()
        self.relu, self.relus = nn.ReLU(), nn.ModuleList([nn.ReLU()])

    def relu_(self):
        return 1

    @decorated
    def forward(this, x):
        BODY
"""


def left_over(body, more=""):
    """What convert says of a class that was made in a notebook: no file holds its source."""
    elsewhere = types.ModuleType("elsewhere")
    exec("def act(x):\n    return x.relu()\ndef bounded(x):\n    return x.clamp(min=0)", vars(elsewhere))
    names = {"__name__": "__main__", "elsewhere": elsewhere}
    exec(CELL.replace("BODY", body).replace("    fixed = staticmethod(F.elu)\n", more), names)
    parts, said = swapped(names["Net"]())
    assert isinstance(parts["relu"], NoisyLIF)
    return said[0].partition(": ")[2].partition(". Only")[0] if said else ""


FUNCTIONAL = {
    "return F.relu(this.relu(x))": "F.relu",
    "from torch.nn.functional import gelu, relu as f; return f(x)": "f (relu)",
    "import torch.nn.functional as G; return G.gelu(x)": "G.gelu",
    "import torch as t; return t.nn.functional.silu(x)": "t.nn.functional.silu",
    "import torch.nn.functional; return torch.nn.functional.gelu(x)": "torch.nn.functional.gelu",
    "import torch.nn as N; return N.GELU()(x)": "N.GELU()",
    "return nn.functional.gelu(x) + F.relu(x)": "F.relu in Net (the model); nn.functional.gelu",
    "return act(x)": "act (relu)",
    "return list(map(F.relu, x))": "F.relu",
    "return [torch.relu_(y) for y in x]": "torch.relu_",
    "return (lambda y: F.silu(y))(x)": "F.silu",
    "return this.relu(x).relu()": "Tensor.relu",
    "y = x; return y.relu_()": "Tensor.relu_",
    "return helper(x)": "Tensor.relu",
    "return x.clamp(min=0)": "Tensor.clamp at 0",
    "return this.relu(x - 1).clamp_(0.0)": "Tensor.clamp_ at 0",
    "return x.clamp_min(0)": "Tensor.clamp_min at 0",
    "return torch.clamp(this.relu(x.clamp(0, 1)) + 1, min=0)": "torch.clamp at 0",
    "return clip(x, 0)": "clip at 0",
    "return x.new_zeros(()) + F.relu(x)": "F.relu",
    "return elsewhere.act(x)": "Tensor.relu",
    "return F.relu(elsewhere.bounded(x))": "F.relu",
    "return nn.ReLU(inplace=True)(this.relu(x))": "nn.ReLU()",
    "act = nn.GELU(); return act(x)": "nn.GELU()",
    # no false alarm
    "from torch.nn.functional import relu, dropout; return dropout(this.relu(x))": "",
    "return this.relu(x)": None,
    "act = this.relu; return act(x)": None,
    "this.more = nn.ReLU(); return this.more(x)": None,
    "this.more = nn.ReLU().to(x.device); return this.more(x)": None,
    "act = nn.ReLU(); this.more = act; return act(x)": None,
    "return this.relu(x) if isinstance(this.relu, nn.ReLU) else x": None,
    "for relu in this.relus: x = relu(x)": None,
    "return [act(x) for act in this.relus]": None,
    "y = x; return this.relu_() * y": None,
    "return this.relu.relu()": None,
    "return this.weight.clamp(min=0)": None,
    "return x.clamp(0, 1) + x.clamp(max=0) + x.clamp(1e-6) + x.clamp(min=x.min())": None,
    "return torch.clamp(x[..., 0], min=1) + clip(x, -1)": None,
    "return F.sigmoid(x) + torch.tanh(x)": None,
}


@pytest.mark.parametrize("body", FUNCTIONAL)
def test_functional_activations_in_a_notebook(body):
    expected = FUNCTIONAL[body]
    assert left_over(body) == (f"{expected} in Net (the model)" if expected else "")


@pytest.mark.parametrize("statement", [
    "from .acts import f", "from . import acts; f = acts.f", "from ..acts import f", "from p.acts import lazy as f",
])  # fmt: skip
def test_functions_of_a_package_that_a_forward_imports(statement, monkeypatch):
    """Nothing is imported that the forward has not imported yet."""

    def missing(name):
        raise ImportError(f"a module that was asked for {name}")

    package, acts = types.ModuleType("p"), types.ModuleType("p.acts")
    acts.f, acts.__getattr__, package.acts = F.relu, missing, acts
    monkeypatch.setitem(sys.modules, "p", package)
    monkeypatch.setitem(sys.modules, "p.acts", acts)
    names = {"nn": nn, "__package__": "p.q" if ".." in statement else "p", "__name__": "p.net"}
    exec(f"class Net(nn.Module):\n    def forward(self, x):\n        {statement}\n        return f(x)\n", names)
    model = nn.Sequential(nn.ReLU(), names["Net"]())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fastlif.convert(model)
    assert len(caught) == ("lazy" not in statement) and all("f (relu) in Net (1)" in str(one.message) for one in caught)


def test_functions_that_a_model_holds():
    assert left_over("return this.fixed(x)", "    fixed = staticmethod(F.elu)\n") == "elu in Net (the model)"
    assert left_over("pass", "    @classmethod\n    def of(cls, x): return F.relu(x)\n") == "F.relu in Net (the model)"
    builds = "    def build(self): act = nn.ReLU(); return nn.Sequential(act)\n"  # as torchvision's _make_layer does
    assert left_over("pass", builds) == ""
    model = nn.Sequential(nn.ReLU())
    model.some, model.named = [F.relu, None], {"gelu": F.gelu}
    with pytest.warns(UserWarning, match=r"the function relu \(some\); the function gelu \(named\)"):
        fastlif.convert(model)
    model = nn.Sequential(nn.ReLU())
    model.first, model.second = functools.partial(F.leaky_relu, negative_slope=0.1), lambda x: F.selu(x)
    with pytest.warns(UserWarning, match=r"the function leaky_relu \(first\); the function F.selu \(second\)"):
        fastlif.convert(model)
    with pytest.warns(UserWarning, match="torch.nn.functional.relu in GraphModule"):
        fastlif.convert(torch.fx.symbolic_trace(Functional()))


def test_layers_that_compute_a_relu_themselves_are_said():
    qconfig = torch.ao.quantization.get_default_qat_qconfig()
    fused = torch.ao.nn.intrinsic.ConvReLU2d(nn.Conv2d(1, 1, 1), nn.ReLU())
    assert swapped(fused)[1] == [] and isinstance(swapped(fused)[0]["1"], NoisyLIF)
    model = nn.Sequential(nn.ReLU(), torch.ao.nn.intrinsic.qat.ConvReLU2d(1, 1, 1, qconfig=qconfig))
    assert "swap: ConvReLU2d (1). Only" in swapped(model)[1][0]


def test_what_a_script_module_holds_is_said():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    with pytest.warns(UserWarning, match=r"swap: ReLU in a ScriptModule \(1.1\). Only"):
        fastlif.convert(nn.Sequential(nn.ReLU(), scripted))


@pytest.mark.parametrize("padding", [None, torch.tensor([[False, False, True]])])
def test_a_transformer_calls_its_neurons_in_evaluation(padding):
    """The fast path of torch's own layer computes the ReLU by itself."""
    calls = []

    class Counted(NoisyLIF):
        def forward(self, input):
            calls.append(input.shape)
            return super().forward(input)

    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=nn.ReLU(), batch_first=True)
    model = fastlif.convert(nn.TransformerEncoder(layer, 2), Counted, **REFERENCE).eval()
    with torch.no_grad():
        model(torch.randn(1, 3, 8), src_key_padding_mask=padding)
    assert calls == [(1, 3, 16)] * 2


@pytest.mark.parametrize("place, library, function", [
    ("spikingjelly.activation_based.neuron.lif", "SpikingJelly", "accelerate(model)"),
    ("snntorch._neurons.leaky", "snnTorch", "LIF.from_snntorch(leaky)"),
    ("norse.torch.module.lif_box", "Norse", "LIF.from_norse(cell)"),
])  # fmt: skip
def test_whoever_has_another_library_s_neurons_is_told_what_takes_them_over(place, library, function):
    own = type("Own", (type("Theirs", (nn.Module,), {"__module__": place}),), {})
    model, advice = nn.Sequential(nn.Linear(2, 2), own()), f"are {library}'s, for which there is fastlif.{function}"
    with pytest.raises(ValueError, match=f"Sequential has no nn.ReLU to swap; its neurons {re.escape(advice)}"):
        fastlif.convert(model)
    watched = "be watched after model = fastlif.accelerate(model)" if library == "SpikingJelly" else advice
    for look in (fastlif.record, lambda model: fastlif.energy(model, torch.zeros(1, 2))):
        with pytest.raises(ValueError, match=f"has no fastlif neuron; .*{re.escape(watched)}"):
            look(model)
    with pytest.raises(ValueError, match=re.escape(advice)):
        MultiStep(model, timesteps=2)
    pytest.importorskip("nir")
    written = "export_to_nir(fastlif.restore(model), ...)" if library == "SpikingJelly" else advice
    with pytest.raises(ValueError, match=re.escape(written)):
        fastlif.to_nir(model, (2,))


def test_no_layer_of_another_library_is_taken_for_a_neuron():
    lifted = type("Lift", (nn.Module,), {"__module__": "norse.torch.module.lift"})()
    with pytest.raises(ValueError, match="has no nn.ReLU to swap$"):
        fastlif.convert(nn.Sequential(lifted))


@pytest.mark.parametrize("repeat_input", [False, True])
def test_multistep_is_the_folded_model(repeat_input):
    """Computing the first layers once changes nothing."""
    single = small(noise=Noise("none"))
    x = torch.randn(5, 1, 8, 8)
    actual = MultiStep(single, 4, repeat_input=repeat_input)(x)
    folded = copy.deepcopy(single)
    for neuron in (folded[2], folded[5]):
        neuron.timesteps = 4
    expected = folded(x.repeat(4, 1, 1, 1)).unflatten(0, (4, 5)).mean(0)
    torch.testing.assert_close(actual, expected)


def test_first_layers_are_computed_once():
    multi = MultiStep(small(), 4)
    seen = {}
    for name, module in multi.model.named_modules():
        module.register_forward_hook(lambda m, inputs, out, name=name: seen.update({name: inputs[0].shape[0]}))
    multi(torch.randn(5, 1, 8, 8))
    assert seen["0"] == seen["1"] == seen["2"] == 5 and seen["3"] == seen["6"] == 20


def test_timesteps_can_be_changed():
    multi = MultiStep(small(), 4)
    multi.timesteps = 7
    assert multi.model[2].timesteps == multi.timesteps == 7
    assert multi(torch.randn(5, 1, 8, 8)).shape == (5, 10)
    assert torch.isfinite(multi(torch.randn(1, 1, 8, 8))).all()


def test_a_layer_that_changes_the_batch_is_noticed():
    class Patches(nn.Module):
        def forward(self, x):
            return x.reshape(x.shape[0] * 3, -1)

    model = nn.Sequential(Patches(), NoisyLIF(**REFERENCE))
    for timesteps in (2, 3):
        with pytest.raises(ValueError, match="a layer before it changes the batch"):
            MultiStep(model, timesteps)(torch.randn(5, 6))


def test_calibration_leaves_the_rest_of_a_model_alone():
    """Its modes, its running statistics, and the membrane that it carries."""
    single = small(stateful=True).train()
    single[0].eval()
    multi = MultiStep(single, 2)
    before = multi.model[1].running_mean.clone()
    multi.calibrate([torch.randn(4, 1, 8, 8), torch.randn(3, 1, 8, 8)])
    assert multi.training and multi.model[1].training and not multi.model[0].training
    assert torch.equal(multi.model[1].running_mean, before)
    assert multi.model[2].states == multi.model[5].states == {}


def test_every_neuron_gets_a_tensor_of_its_own():
    threshold = torch.tensor(1.0)
    model = fastlif.convert(nn.Sequential(nn.ReLU(), nn.ReLU()), LIF, threshold=threshold)
    model[0].threshold.fill_(0.1)
    assert (model[0].threshold, model[1].threshold, threshold) == (torch.tensor(0.1), 1, 1)


def test_what_was_loaded_into_a_model_without_memory_is_calibrated():
    model = fastlif.convert(nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    with torch.device("meta"):
        empty = fastlif.convert(nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    empty.load_state_dict(model.state_dict(), assign=True)
    for loaded in (copy.deepcopy(empty), empty.to("cpu")):  # whose buffers without values are on meta, and no more
        multi = MultiStep(loaded, 2).eval().calibrate([torch.rand(5, 3)])
        assert multi(torch.rand(2, 3)).shape == (2, 4) and multi.model[1].calibrated_mean.device.type == "cpu"


def test_a_loader_s_batches_go_to_the_model_s_device():
    def found(layer, inputs):
        raise LookupError(f"an input on {inputs[0].device}")

    batch, trained = torch.rand(2, 3), nn.Sequential(nn.Linear(3, 1), nn.ReLU())
    trained[0].register_forward_pre_hook(found)
    spiking = fastlif.convert(trained)
    multi = MultiStep(spiking, timesteps=2)
    elsewhere = types.SimpleNamespace(device="meta", is_meta=False)  # as a GPU's
    for model in (multi, trained):
        model.parameters = lambda: iter([torch.empty(0, device="meta"), elsewhere])
    for run in (
        lambda: multi.calibrate([batch]),
        lambda: fastlif.recommend_timesteps(multi, [(batch, torch.zeros(2, dtype=torch.long))]),
        lambda: fastlif.scale_thresholds(spiking, trained, [batch]),
    ):
        with pytest.raises(LookupError, match="an input on meta"):
            run()
    assert on_its_device(nn.Linear(3, 1), batch.to("meta")).is_meta, "who moved it knows better"
    assert on_its_device(nn.Linear(3, 1, device="meta"), batch) is batch


def test_calibrating_again_forgets_the_first_calibration():
    first, second = torch.rand(8, 1, 8, 8), 3 * torch.rand(8, 1, 8, 8)
    again = MultiStep(small(noise=Noise("none")), 3).calibrate([first]).calibrate([second])
    once = MultiStep(small(noise=Noise("none")), 3).calibrate([second])
    assert torch.equal(again.model[2].calibrated_mean, once.model[2].calibrated_mean)


@pytest.mark.parametrize("statistics", ["layer", "sample"])
def test_statistics_that_are_given_forget_a_calibration(statistics):
    model, x = small(noise=Noise("none")), torch.rand(8, 1, 8, 8)
    fresh = MultiStep(model, 4, statistics=statistics)
    calibrated = MultiStep(model, 3).calibrate([x[:4]])
    again = MultiStep(calibrated.model, 4, statistics=statistics)
    assert torch.equal(again(x), fresh(x)) and not any("calibrated" in key for key in again.state_dict())
    assert torch.equal(MultiStep(calibrated.model, 3)(x), calibrated(x)), "the model itself stays calibrated"
    assert again.calibrate([x]).model[2].calibrated_mean.shape == (1, 4)


def test_the_hooks_of_an_activation_move_to_its_neuron():
    """Of every kind, with their options; a shared activation's once, and those of the model that stays unchanged."""
    called = []
    relu = nn.ReLU()
    relu.register_forward_pre_hook(lambda module, x, y: called.append(("before", type(module))), with_kwargs=True)
    relu.register_forward_hook(lambda module, args, output: called.append(("after", output.unique().tolist())))
    relu.register_forward_hook(lambda module, x, y, output: called.append(("keywords", y)), with_kwargs=True)
    relu.register_full_backward_pre_hook(lambda module, grads: called.append("backward begins"))
    relu.register_full_backward_hook(lambda module, inputs, outputs: called.append("backward ends"))
    model = nn.Sequential(nn.Linear(3, 4), relu, nn.Linear(4, 4), relu)
    spiking = fastlif.convert(model, noise=Noise("none"), threshold=-10.0, **REFERENCE)
    assert spiking[1] is spiking[3]
    spiking(torch.rand(2, 3)).sum().backward()
    forward = [("before", NoisyLIF), ("after", [1.0]), ("keywords", {})]
    assert called == forward * 2 + ["backward begins", "backward ends"] * 2
    called.clear()
    model(torch.rand(2, 3))
    assert [name for name, _ in called] == ["before", "after", "keywords"] * 2 and called[0] == ("before", nn.ReLU)


@pytest.mark.filterwarnings("ignore:Using a non-full backward hook")
def test_backward_hooks_of_the_other_kind_stay_of_that_kind():
    called, relu = [], nn.ReLU()
    relu.register_backward_hook(lambda module, inputs, outputs: called.append("backward"))
    model = nn.Sequential(nn.Linear(3, 4), relu)
    spiking = fastlif.convert(model, **REFERENCE)
    assert spiking[1]._is_full_backward_hook is False
    spiking(torch.rand(2, 3)).sum().backward()
    assert called == ["backward"]
    neuron = NoisyLIF(**REFERENCE)
    neuron.register_full_backward_hook(lambda module, inputs, outputs: None)
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks"):
        fastlif.convert(model, lambda: neuron)


def test_hooks_of_another_process_stand_beside_the_own():
    """A loaded module's hooks have numbers that hooks made here may have too."""
    called, relu = [], nn.ReLU()
    key = relu.register_forward_hook(lambda module, args, output: called.append("activation's")).id

    def maker():
        neuron = NoisyLIF(**REFERENCE)
        own = neuron.register_forward_hook(lambda module, args, output: called.append("neuron's")).id
        neuron._forward_hooks[key] = neuron._forward_hooks.pop(own)
        return neuron

    fastlif.convert(nn.Sequential(nn.Linear(3, 4), relu), maker)(torch.rand(2, 3))
    assert sorted(called) == ["activation's", "neuron's"]


def test_hooks_of_torch_and_fastlif_stay_with_their_module():
    """What torch prunes with needs the module's own attributes; what begins a pass is the model's."""
    prelu = nn.PReLU()
    with torch.no_grad():
        prune.identity(prelu, "weight")
    assert prelu._forward_pre_hooks
    spiking = fastlif.convert(nn.Sequential(nn.Linear(3, 4), prelu), activations=nn.PReLU, **REFERENCE)
    assert spiking(torch.rand(2, 3)).shape == (2, 4)
    root = fastlif.convert(nn.ReLU(), stateful=True, **REFERENCE)
    assert root._forward_pre_hooks
    root = fastlif.convert(root, LIF, activations=NoisyLIF, decay=0.9, **REFERENCE)
    assert type(root) is LIF and not root._forward_pre_hooks and not root._forward_hooks


def test_an_error_in_a_neuron_still_calls_the_hooks_that_are_always_called():
    def maker():
        def fails(module, arguments):
            raise RuntimeError("a neuron's own hook")

        neuron = NoisyLIF(**REFERENCE)
        handles.append(neuron.register_forward_pre_hook(fails))
        return neuron

    called, handles, relu = [], [], nn.ReLU()
    relu.register_forward_hook(lambda module, args, output: called.append(output), always_call=True)
    spiking = fastlif.convert(nn.Sequential(nn.Linear(3, 4), relu), maker)
    with pytest.raises(RuntimeError, match="a neuron's own hook"):
        spiking(torch.rand(2, 3))
    assert called == [None]
    handles[0].remove()  # the neuron's own hooks stay its own
    assert spiking(torch.rand(2, 3)) is called[1]


def test_each_neuron_learns_a_parameter_of_its_own():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
    spiking = fastlif.convert(model, LIF, decay=nn.Parameter(torch.tensor(0.5)), **REFERENCE)
    assert spiking[1].decay is not spiking[3].decay
    assert [name for name, _ in spiking.named_parameters() if "decay" in name] == ["1.decay", "3.decay"]


class Shaped(nn.Module):
    """A neuron, and a function of its spikes and of the model's input."""

    def __init__(self, shape):
        super().__init__()
        self.neuron, self.shape = LIF(decay=0.9, **REFERENCE), shape

    def forward(self, x):
        return self.shape(self.neuron(x), x)


def test_outputs_of_any_structure():
    x, model = torch.rand(5, 6), Shaped(lambda spikes, x: {"spikes": spikes, "pair": (x, [spikes, None])})
    for output, shape in (("mean", (5, 6)), ("steps", (3, 5, 6))):
        out = MultiStep(model, 3, output=output)(x)
        assert out["spikes"].shape == out["pair"][1][0].shape == shape and out["pair"][1][1] is None
        assert torch.equal(out["pair"][0], x.expand(shape)), "what no neuron reached is the same at every step"


@dataclasses.dataclass(frozen=True)
class Scores:
    logits: torch.Tensor
    doubled: torch.Tensor | None = dataclasses.field(init=False)
    scale: dataclasses.InitVar[int] = 2

    def __post_init__(self, scale):
        object.__setattr__(self, "doubled", scale * self.logits)


class Ordered(collections.OrderedDict):
    @property
    def logits(self):
        return self["logits"]


@pytest.mark.parametrize("kind", [Scores, Ordered])
def test_outputs_in_a_class_of_their_own(kind):
    """Under which a checkpoint belongs to its pass, too."""

    class Net(nn.Sequential):
        def forward(self, x):
            return kind(logits=torch.utils.checkpoint.checkpoint(super().forward, x, use_reentrant=False)), None

    x, model = torch.rand(5, 6), Net(nn.Linear(6, 6), LIF(decay=0.9, **REFERENCE))
    multi = MultiStep(model, 3)
    output, _ = multi(x)
    assert type(output) is kind and torch.equal(output.logits, MultiStep(nn.Sequential(*model), 3)(x))
    if kind is Scores:
        assert torch.equal(output.doubled, 2 * output.logits)
    output.logits.sum().backward()
    assert multi.model[0].weight.grad.any()
    multi.output = "steps"
    assert multi(x)[0].logits.shape == (3, 5, 6)


def test_a_model_that_shapes_by_its_input_s_batch_is_noticed():
    x = torch.rand(5, 6)
    mixes = Shaped(lambda spikes, x: spikes.view(len(x), -1, 6).mean(1))
    in_a_class = Shaped(lambda spikes, x: Ordered(logits=mixes.shape(spikes, x)))
    with pytest.raises(ValueError, match="the model's output has 5"):
        MultiStep(in_a_class, 3)(x)
    with pytest.raises(ValueError, match=r"the batch is 15 = timesteps \* batch, and the model's output has 5. If"):
        MultiStep(mixes, 3)(x)
    expected = MultiStep(nn.Sequential(mixes.neuron), 3)(x)
    assert torch.equal(MultiStep(mixes, 3, repeat_input=True)(x), expected)
    assert MultiStep(mixes, 1)(x).shape == x.shape


@pytest.mark.parametrize("fused", [False, True])
def test_a_neuron_that_is_put_into_a_multistep_model_later_is_noticed(fused):
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), NoisyLIF(backend="compiled"))
    multi = MultiStep(fastlif.fuse(model) if fused else model, 3).eval()
    multi.model[2] = NoisyLIF(backend="compiled")
    for sequence in (False, True):
        with torch.no_grad(), pytest.raises(ValueError, match="put into a MultiStep model after it was made"):
            multi(torch.rand(3, 5, 6) if sequence else torch.rand(5, 6), sequence=sequence)
    multi.timesteps = 4  # of the new neuron too
    assert multi(torch.rand(5, 6)).shape == (5, 8)
    one = MultiStep(fastlif.fuse(model) if fused else model, 1).eval()
    one.model[2] = NoisyLIF(backend="compiled")  # a single step, as it was trained
    assert one(torch.rand(5, 6)).shape == (5, 8)


def test_an_error_behind_the_first_neuron_comes_with_what_to_do():
    with pytest.raises(RuntimeError, match="shape") as caught:
        MultiStep(Shaped(lambda spikes, x: spikes.view(len(x), 6)), 3)(torch.rand(5, 6))
    assert "the batch is 15 = timesteps * batch. If the model shapes" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError) as caught:
        MultiStep(nn.Sequential(nn.Linear(3, 3), LIF(**REFERENCE)), 3)(torch.rand(5, 6))
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(RuntimeError) as caught:
        MultiStep(Shaped(lambda spikes, x: torch.ones(1, requires_grad=True).add_(1)), 3)(torch.rand(5, 6))
    assert not hasattr(caught.value, "__notes__"), "an error about something else"


class SecondBatch(LIF):
    """Takes ``[tokens, batch, *]``, as PyTorch's transformers do by default."""

    def forward(self, x):
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


def test_a_batch_in_the_second_dimension_is_noticed():
    x, model = torch.rand(3, 8, 6), SecondBatch(decay=0.9, **REFERENCE)
    with pytest.raises(ValueError, match="takes the batch second, give it batch_first=True"):
        MultiStep(model, 4)(x)
    with pytest.raises(ValueError, match=r"got the batch 8 where 12 = timesteps \* batch went in.*batch_first=True"):
        MultiStep(model, 4, repeat_input=True)(x)
    with pytest.raises(ValueError, match="got the batch 8 where 12"):
        MultiStep(model, 4)(x.expand(4, *x.shape), sequence=True)
    with pytest.raises(ValueError, match="got the batch 9 where 4 = .* on a table and on no batch, which fastlif"):
        MultiStep(model, 2, repeat_input=True)(torch.rand(2, 9, 6))  # a batch that T does not divide
    assert MultiStep(model, 1, repeat_input=True)(x).shape == x.shape, "at T = 1 there is no time to mistake"


def test_calibration_travels_in_the_state_dict():
    multi = MultiStep(small(), 4).calibrate([torch.randn(8, 1, 8, 8)])
    halved = MultiStep(small(), 4)
    halved.load_state_dict({key: value.half() for key, value in multi.state_dict().items()}, assign=True)
    assert halved.model[2].calibrated_mean.dtype == halved.model[2].calibrated_deviation.dtype == torch.float32
    other = MultiStep(small(), 4)
    other.load_state_dict(multi.state_dict())
    again = copy.deepcopy(other)
    x = torch.randn(8, 1, 8, 8)
    expected = seeded(multi, x)
    assert torch.equal(seeded(other, x), expected) and torch.equal(seeded(again, x), expected)
    assert multi.half().model[2].calibrated_mean.dtype == torch.float32
    other.timesteps = 2
    other(x)
    other.timesteps = 5
    with pytest.raises(ValueError, match="timesteps=5 exceeds the 4 steps that were calibrated"):
        other(x)


OPTIONS = {  # the default, and another value
    "alpha": (4.0, 8.0),
    "beta": (0.5, 0.25),
    "residual": ("matched", "range"),
    "over_time": ("independent", "antithetic"),
    "statistics": ("layer", "sample"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_options_of_a_multistep_model(name):
    """They are the neuron's unless MultiStep is given others, and do what they do in the function."""
    others = REFERENCE | ({"noise": Noise("none")} if name == "beta" else {})  # noise makes up for another beta
    x, plain, outputs = torch.rand(64, 30), NoisyLIF(**others), []
    assert getattr(plain, name) == OPTIONS[name][0]
    for value in OPTIONS[name]:
        option = {name: value}
        outputs.append(seeded(fastlif.functional.noisy_lif, x.expand(4, 64, 30), **option, **others).mean(0))
        for multi in (MultiStep(NoisyLIF(**option, **others), 4), MultiStep(plain, 4, **option)):
            assert torch.equal(seeded(multi, x), outputs[-1])
            assert (f"{name}={value!r}" in repr(multi)) == (value == OPTIONS[name][1]) and not multi.state_dict()
    assert not torch.equal(*outputs)
    assert torch.equal(seeded(MultiStep(plain, 4), x), outputs[0]), "the model itself stays as it was"


def test_calibration_leaves_other_models_alone():
    """A data loader may run a calibrated model of its own between two batches."""
    first, second = (MultiStep(small(noise=Noise("none")), 3) for _ in range(2))
    first.calibrate([torch.rand(4, 1, 8, 8)])
    x = torch.rand(4, 1, 8, 8)
    expected = first(x)

    def batches():
        for _ in range(2):
            assert torch.equal(first(x), expected)
            yield x

    second.calibrate(batches())
