"""Steps of SRGAN's training in PyTorch: losses, gradients of both networks and Adam, from the paper.

stdin: a list of {"folder", "discriminator", "loss", "optimizer", "learningRate", "steps"}, as in a
run spec. Of each: reads generator.safetensors (the state dict of examples/pytorch/srresnet.py) and inputs.safetensors
in the folder: the discriminator's tensors by their names in Lockstep, and `lr` and `hr` of a
micro-shard. Writes outputs.safetensors there: of the first step `output/...` of both networks,
`metric/...` and `gradient/...`, of the last `trained/...`.
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples" / "pytorch"))
from srresnet import SRResNet  # noqa: E402


def dense(x, name, p):
    return x @ p[f"discriminator/{name}/weights"] + p[f"discriminator/{name}/bias"]


def features_of(spec, x, p):
    """Eight convolutions, each by its own batch statistics; filters are [height, width, in, out]."""
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


def main(asked):
    folder = pathlib.Path(asked["folder"])
    loss, spec = asked["loss"], asked["discriminator"]
    inputs = {name: t.double() for name, t in load_file(folder / "inputs.safetensors").items()}
    low, high = (inputs.pop(name).permute(0, 3, 1, 2) for name in ("lr", "hr"))
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
        total = loss["pixel"] * pixel + loss["adversarial"] * adversarial
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
