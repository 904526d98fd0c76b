"""The models of models.lua in PyTorch: name -> (model, images, loss of model and images). Images of four
axes are tried in both layouts."""
import torch
from torch import nn
import torch.nn.functional as F


def labels(n):
    return torch.randint(0, 10, (n,))


def kl(mu, log_var):
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1).mean()


def sample(decode, mu, log_var):
    return decode(mu + (log_var / 2).exp() * torch.randn_like(mu)), mu, log_var


def lenet():
    y = labels(64)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    return model, torch.rand(64, 1, 28, 28), lambda model, x: F.cross_entropy(model(x), y)


def conv3(inputs, outputs, stride=1):
    return nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride, bias=False)


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.norm1 = conv3(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = conv3(outputs, outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs and stride == 1 else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.shortcut(x))


def resnet20():
    y = labels(64)
    model = nn.Sequential(
        conv3(3, 16), nn.BatchNorm2d(16), nn.ReLU(),
        Residual(16, 16, 1), Residual(16, 16, 1), Residual(16, 16, 1),
        Residual(16, 32, 2), Residual(32, 32, 1), Residual(32, 32, 1),
        Residual(32, 64, 2), Residual(64, 64, 1), Residual(64, 64, 1),
        nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))
    return model, torch.rand(64, 3, 32, 32), lambda model, x: F.cross_entropy(model(x), y)


def down(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.01)]


def up(inputs, outputs):
    return [nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1), nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.01)]


class VAE(nn.Module):
    def __init__(self, encoder, width, latent, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.mu, self.log_var = nn.Linear(width, latent), nn.Linear(width, latent)

    def forward(self, x):
        h = self.encoder(x)
        return sample(self.decoder, self.mu(h), self.log_var(h))


def conv_vae():
    model = VAE(nn.Sequential(*down(3, 32), *down(32, 64), *down(64, 128), *down(128, 256), nn.Flatten()), 4096, 128,
                nn.Sequential(nn.Linear(128, 4096), nn.Unflatten(1, (256, 4, 4)), *up(256, 128), *up(128, 64),
                              *up(64, 32), *up(32, 32), nn.Conv2d(32, 3, 3, padding=1), nn.Tanh()))

    def loss(model, x):
        r, mu, log_var = model(x)
        return F.mse_loss(r, x) + 0.00025 * kl(mu, log_var)
    return model, torch.rand(32, 3, 64, 64) * 2 - 1, loss


def mlp_vae():
    model = VAE(nn.Sequential(nn.Linear(784, 400), nn.ReLU()), 400, 20,
                nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784)))

    def loss(model, x):
        r, mu, log_var = model(x)
        return F.binary_cross_entropy_with_logits(r, x, reduction="sum") / 128 + kl(mu, log_var)
    return model, torch.rand(128, 784), loss


def mlp():
    y = labels(256)
    model = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024),
                          nn.ReLU(), nn.Linear(1024, 10))
    return model, torch.rand(256, 1024), lambda model, x: F.cross_entropy(model(x), y)


def transformer_mlp():
    model = nn.Sequential(nn.LayerNorm(256), nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256))
    return model, torch.rand(2048, 256), lambda model, x: (model(x) + x).square().mean()


def tiny():
    y = torch.rand(32, 1)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    return model, torch.rand(32, 2), lambda model, x: F.mse_loss(model(x), y)


MODELS = {f.__name__: f for f in (lenet, resnet20, conv_vae, mlp_vae, mlp, transformer_mlp, tiny)}
