"""Momentum Adversarial Distillation (Do et al. 2022) in one file of plain PyTorch.

The same recipe as the library's for `digits`. From the library come the images, the
trained teacher and three network definitions; the method itself is written out here.

    OMP_NUM_THREADS=1 python examples/mad_in_one_file.py    # about a minute
"""

import copy

import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR

from dfkd_lib import load_dataset, load_teacher
from dfkd_lib.models import GeneratorA, build

SEED = 0
STAGES = 160  # a stage: the generator's steps, then the student's
GENERATOR_STEPS = 1  # n_G
STUDENT_STEPS = 5  # n_S
BATCH = 128  # images a step, from each generator
Z_DIM = 100  # numbers of noise an image is made from
WIDTH = 8  # channels of the generator's last layers
STUDENT_LR = 0.03  # SGD
GENERATOR_LR = 0.001  # Adam
ALPHA = 0.95  # momentum of the EMA generator; 0 would be a copy

# The teacher is trained and fixed. Its training images are not used.
data = load_dataset("digits")
teacher = load_teacher(data, "lenet5").network  # in evaluation mode, without gradients
x_test = torch.from_numpy(data.normalise(data.x_test))  # (images, 1, 32, 32)
y_test = torch.from_numpy(data.y_test)

torch.manual_seed(SEED)  # for the first weights
student = build("lenet5_half", data.num_classes)
generator = GeneratorA(Z_DIM, channels=1, size=32, width=WIDTH)
average = copy.deepcopy(generator).requires_grad_(False)  # the EMA generator
noise = torch.Generator().manual_seed(SEED)

sgd = torch.optim.SGD(student.parameters(), STUDENT_LR, 0.9, weight_decay=5e-4)
adam = torch.optim.Adam(generator.parameters(), GENERATOR_LR)
schedules = [CosineAnnealingLR(optimizer, STAGES) for optimizer in (sgd, adam)]


def draw(network):
    """A batch of images from a generator."""
    return network(torch.randn(BATCH, Z_DIM, generator=noise))


def kl(x):
    """The divergence of the student's class probabilities from the teacher's."""
    p, q = teacher(x).log_softmax(1), student(x).log_softmax(1)
    return F.kl_div(q, p, reduction="batchmean", log_target=True)


def accuracy(network):
    """The percentage of test images that a network names correctly."""
    network.eval()
    with torch.no_grad():
        right = network(x_test).argmax(1) == y_test
    network.train(network is student)
    return 100 * right.float().mean().item()


losses = []  # the student's, a number a stage
for stage in range(1, STAGES + 1):
    # 1. The generator moves to images on which the student differs (Eq. 2).
    student.requires_grad_(False)  # needs no gradient here, but passes it on
    for _ in range(GENERATOR_STEPS):
        adam.zero_grad()
        (-kl(draw(generator))).backward()
        adam.step()
    student.requires_grad_(True)

    # 2. The EMA generator follows, by a twentieth of the way (Eq. 5).
    for slow, fast in zip(average.parameters(), generator.parameters(), strict=True):
        slow.data.lerp_(fast.data, 1 - ALPHA)

    # 3. The student learns on fresh images of both generators (Eq. 4).
    losses.append(0.0)
    for _ in range(STUDENT_STEPS):
        with torch.no_grad():
            images = [draw(network) for network in (generator, average)]
        loss = sum(kl(x) for x in images)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses[-1] += loss.item() / STUDENT_STEPS

    for schedule in schedules:
        schedule.step()
    if stage % 20 == 0 or stage == STAGES:
        print(f"stage {stage:3d}, loss {losses[-1]:.3f}, {accuracy(student):.2f} %")

print(f"teacher {accuracy(teacher):.2f} %, student {accuracy(student):.2f} %")
