"""`python -m benchmarks.sweep` runs `distill` on the smallest network of many families.

It has random weights, and is teacher and student of two stages. records/sweep.jsonl:
"taken", "wrong" (the run's teacher or the student's program answers otherwise),
"refused" (in one line), or the name of another exception, which is a fault.
"""

import importlib.util
import json
import tempfile
from functools import partial
from pathlib import Path

import torch

from dfkd_lib import distillation as d
from dfkd_lib.methods import MAD

# NAME SIDE, where 32 pixels are too few
NETWORKS = """torchvision.models: alexnet 64, convnext_tiny, densenet121, vit_b_16,
efficientnet_b0, efficientnet_v2_s, googlenet, inception_v3 80, maxvit_t 64, vgg11,
mnasnet0_5, mobilenet_v2, mobilenet_v3_small, regnet_x_400mf, regnet_y_400mf, resnet18,
resnext50_32x4d, shufflenet_v2_x0_5, squeezenet1_1, swin_t, swin_v2_t, wide_resnet50_2;
timm: resnet10t, vit_tiny_patch16_224 64, deit_tiny_distilled_patch16_224 64, dla46_c,
convnext_atto, tf_mobilenetv3_small_minimal_100, ghostnet_050, resmlp_12_224 64,
levit_128s 64, mobilevit_xxs 64, edgenext_xx_small 64, repvgg_a0, lcnet_035, tinynet_e,
xcit_nano_12_p16_224 64, poolformer_s12 64, pit_ti_224 64, mobilenetv4_conv_small,
ese_vovnet19b_dw, nf_regnet_b0, fastvit_t8 64, starnet_s1"""
TINY = {"stages": 2, "batch": 4, "student_batch": 4, "student_steps": 1, "mean": 0.5}
TINY |= {"generator_width": 2, "z_dim": 8, "std": 0.25, "onnx": False}
d.FreshImages = partial(d.FreshImages, 64)
RUNS = []


class Kept(MAD):
    def start(self, *given):
        RUNS.append(super().start(*given))
        return RUNS[-1]


def tried(make, side: int, to: str) -> tuple[str, object]:
    sized = {"img_size": side}, {"image_size": side}, {"input_size": (side, side)}, {}
    for options in sized:
        try:
            network = make(num_classes=10, **options)
            break
        except TypeError:  # has no such option
            continue
    for p in network.parameters():  # a head that starts at zero tells nothing
        torch.nn.init.normal_(p, std=0.02) if p.ndim == 2 and not p.any() else None
    x = torch.randn(8, 3, side, side)
    with torch.no_grad():
        [network(x) for _ in range(8)]  # BatchNorm's moments
        given = TINY | {"input_shape": x.shape[1:], "num_classes": 10, "method": Kept}
        wanted = network.eval()(x)
    try:
        done = d.distill(network, network, output_dir=to, **given)
    except Exception as error:
        return type(error).__name__.replace("UserError", "refused"), str(error)
    made = done.report["exports"]["torch.export"]
    with torch.no_grad():
        gap = (RUNS[-1].teacher(x) - wanted).abs().max() / wanted.std()
    said = done.report["warnings"] + [m for k, m in made.items() if k == "not_made"]
    return "taken" if gap < 0.1 else "wrong", said


if __name__ == "__main__":
    for group in NETWORKS.replace("\n", " ").split("; "):
        library, _, names = group.partition(": ")
        if not importlib.util.find_spec(library.partition(".")[0]):
            print(f"{library} is not installed: its networks are skipped")
            continue
        module = importlib.import_module(library)
        create = getattr(module, "create_model", None) or module.get_model
        record = Path(__file__).parent / "records" / f"sweep-{library}.jsonl"
        record.unlink(missing_ok=True)
        for entry in names.split(", "):
            name, side = (*entry.split(), "32")[:2]
            with tempfile.TemporaryDirectory() as to:
                result, said = tried(partial(create, name), int(side), to)
            made = {"network": name, "side": int(side), "result": result, "said": said}
            with record.open("a") as file:
                print(json.dumps(made), file=file)
