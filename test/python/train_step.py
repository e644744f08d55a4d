"""Steps of SRGAN's training in PyTorch: losses, gradients of both networks and Adam.

stdin: a list of {"folder", "discriminator", "loss", "optimizer", "learningRate", "steps"}, as in a
run spec. Of each: reads generator.safetensors (the state dict of examples/pytorch/srresnet.py) and
inputs.safetensors in the folder: the discriminator's tensors by their names in Lockstep, those of
frozen networks, and `lr` and `hr` of a micro-shard. Feature losses also have the `scale` of their
features. Writes outputs.safetensors there: of the first step `output/...` of both networks,
`metric/...` and `gradient/...`, of the last `trained/...`.
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torchvision.models.vgg import cfgs, make_layers

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples" / "pytorch"))
from srresnet import SRResNet  # noqa: E402


def dense(x, name, p):
    return x @ p[f"discriminator/{name}/weights"] + p[f"discriminator/{name}/bias"]


def features_of(spec, x, p):
    """Eight convolutions by batch statistics; filters are [height, width, in, out]."""
    for i in range(8):
        name = f"discriminator/conv{i}"
        normalized = i > 0 and spec["normalization"] == "batch"
        stride = 1 + i % 2
        # TensorFlow's "same": a stride of 2 has its border on the right and at the bottom.
        x = F.pad(x, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))
        x = F.conv2d(x, p[f"{name}/filter"].permute(3, 2, 0, 1), p.get(f"{name}/bias"), stride)

        def norm(y):
            scale, offset = p[f"{name}/norm/scale"], p[f"{name}/norm/offset"]
            return F.batch_norm(y, None, None, scale, offset, training=True)

        first = spec["order"] == "norm-activation"
        x = norm(x) if normalized and first else x
        x = F.leaky_relu(x, 0.2)
        x = norm(x) if normalized and not first else x
    x = x.permute(0, 2, 3, 1)
    return x.flatten(1) if spec["head"] == "dense" else x.flatten(0, 2)


def judge(spec, x, p):
    return dense(F.leaky_relu(dense(features_of(spec, x, p), "hidden", p), 0.2), "verdict", p)


def generator_pays(objective, real, fake):
    if objective == "lsgan":
        return F.mse_loss(fake.sigmoid(), torch.ones_like(fake))
    if objective == "bce":
        return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))
    return F.binary_cross_entropy_with_logits(
        fake - real.mean(), torch.ones_like(fake)
    ) + F.binary_cross_entropy_with_logits(real - fake.mean(), torch.zeros_like(real))


def discriminator_pays(objective, real, fake, label):
    labels = [torch.full_like(real, label), torch.zeros_like(fake)]
    if objective == "lsgan":
        return F.mse_loss(real.sigmoid(), labels[0]) + F.mse_loss(fake.sigmoid(), labels[1])
    if objective == "relativistic":
        real, fake = real - fake.mean(), fake - real.mean()
    loss = F.binary_cross_entropy_with_logits
    return loss(real, labels[0]) + loss(fake, labels[1])


def face_features(x, w):
    """dlib's face recognition ResNet, by layer: what each gives before its ReLU."""

    def conv(x, name, stride=1):
        filters = w[f"face/{name}/filter"].permute(3, 2, 0, 1)
        return F.conv2d(x, filters, w[f"face/{name}/bias"], stride, padding=2 - stride)

    mean = torch.tensor([122.782, 117.001, 104.298]).to(x).view(1, 3, 1, 1)
    found = {"conv32_down": conv(((x + 1) * 127.5 - mean) / 255, "conv32_down", 2)}
    names = [name.split("/")[1] for name in w if name.startswith("face/conv")]
    for layer in [name for name in dict.fromkeys(names) if name != "conv32_down"]:
        x = list(found.values())[-1].relu()
        if layer == "conv32_1":
            x = F.max_pool2d(x, 3, 2)
        y = conv(x, f"{layer}/conv1", 2 if "_down" in layer else 1).relu()
        y = conv(y, f"{layer}/conv2")
        if "_down" in layer:
            x = F.avg_pool2d(x, 2)
            y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        found[layer] = x + y
    return found


def vgg19_features(x, w):
    """torchvision's VGG19 with these weights, by layer: what each gives before its ReLU."""
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    of = [torch.tensor(values).to(x).view(1, 3, 1, 1) for values in (mean, deviation)]
    x = ((x + 1) / 2 - of[0]) / of[1]
    found, block, number = {}, 1, 0
    for module in make_layers(cfgs["E"]).to(x):
        if isinstance(module, torch.nn.MaxPool2d):
            block, number = block + 1, 0
        if isinstance(module, torch.nn.Conv2d):
            number += 1
            layer = f"conv{block}_{number}"
            if f"vgg19/{layer}/filter" not in w:
                break
            module.weight.data = w[f"vgg19/{layer}/filter"].permute(3, 2, 0, 1).contiguous()
            module.bias.data = w[f"vgg19/{layer}/bias"]
            found[layer] = x = module.requires_grad_(False)(x)
            x = x.clone()  # the ReLU works in place
        else:
            x = module(x)
    return found


def feature_losses(specs, generated, high, w):
    extract = {"face": face_features, "vgg19": vgg19_features}
    losses = []
    for spec in specs:
        layer = {"vgg22": "conv2_2", "vgg54": "conv5_4"}.get(spec["layer"], spec["layer"])
        pair = [extract[spec["network"]](x, w)[layer] for x in (generated, high)]
        pair = [spec["scale"] * (x.relu() if spec["activation"] == "after" else x) for x in pair]
        losses.append((F.mse_loss if spec["norm"] == "mse" else F.l1_loss)(*pair))
    return losses


def main(asked):
    folder = pathlib.Path(asked["folder"])
    loss, spec = asked["loss"], asked["discriminator"]
    inputs = {name: t.double() for name, t in load_file(folder / "inputs.safetensors").items()}
    low, high = (inputs.pop(name).permute(0, 3, 1, 2) for name in ("lr", "hr"))
    frozen = {name: inputs.pop(name) for name in list(inputs) if "discriminator/" not in name}
    generator = SRResNet.from_file(folder / "generator.safetensors").double().train()
    p = {name: t.requires_grad_() for name, t in inputs.items()}
    adam = {"betas": (asked["optimizer"]["beta1"], asked["optimizer"]["beta2"])}
    adam["eps"] = asked["optimizer"]["epsilon"]
    rates = asked["learningRate"]
    optimizers = [
        torch.optim.Adam(generator.parameters(), rates["generator"], **adam),
        torch.optim.Adam(p.values(), rates["discriminator"], **adam),
    ]
    outputs = {}
    for step in range(asked["steps"]):
        generated = generator(low)
        pixel = (F.mse_loss if loss["pixelNorm"] == "mse" else F.l1_loss)(generated, high)
        real, fake = judge(spec, high, p), judge(spec, generated, p)
        adversarial = generator_pays(loss["objective"], real, fake)
        specs = loss.get("features", [])
        features = feature_losses(specs, generated, high, frozen)
        total = loss["pixel"] * pixel + loss["adversarial"] * adversarial
        total = total + sum(spec["weight"] * value for spec, value in zip(specs, features))
        wanted = list(generator.parameters())
        gradients = torch.autograd.grad(total, wanted, retain_graph=True)
        # The same verdicts, as the discriminator sees them: the pictures are constants.
        fake = judge(spec, generated.detach(), p)
        judged = discriminator_pays(loss["objective"], real, fake, loss.get("realLabel", 1))
        own = torch.autograd.grad(judged, list(p.values()))
        names = [name for name, _ in generator.named_parameters()] + list(p)
        for parameter, gradient in zip(wanted + list(p.values()), [*gradients, *own]):
            parameter.grad = gradient
        if step == 0:
            scores = [real, fake]
            if loss["objective"] == "relativistic":
                scores = [real - fake.mean(), fake - real.mean()]
            outputs |= {
                "output/generated": generated.permute(0, 2, 3, 1),
                "output/real": real,
                "output/fake": fake,
                "metric/loss/generator": total,
                "metric/loss/pixel": pixel,
                "metric/mse": F.mse_loss(generated, high),
                "metric/loss/adversarial": adversarial,
                "metric/loss/discriminator": judged,
                "metric/score/real": scores[0].sigmoid().mean(),
                "metric/score/fake": scores[1].sigmoid().mean(),
            }
            for one, value in zip(specs, features):
                outputs["metric/loss/features/{network}-{layer}".format(**one)] = value
            for name, gradient in zip(names, [*gradients, *own]):
                outputs[f"gradient/{name}"] = gradient
        for optimizer in optimizers:
            optimizer.step()
    for name, parameter in zip(names, wanted + list(p.values())):
        outputs[f"trained/{name}"] = parameter
    exact = {name: t.detach().float().contiguous() for name, t in outputs.items()}
    save_file(exact, folder / "outputs.safetensors")


for case in json.load(sys.stdin):
    main(case)
print("{}")
