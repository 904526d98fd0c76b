--- The ResNet-20 of He et al. (2015) for CIFAR-10: 3 x 3 blocks of 16, 32 and 64 channels on colour images of 32 x 32.
local nn = require "latent.nn"

local function conv3(inputs, outputs, stride)
  return nn.Conv2d(inputs, outputs, 3, {padding = 1, stride = stride or 1, bias = false})
end

local function residual(inputs, outputs, stride)
  local same = inputs == outputs and stride == 1
  return nn.Module{
    conv1 = conv3(inputs, outputs, stride), norm1 = nn.BatchNorm2d(outputs),
    conv2 = conv3(outputs, outputs), norm2 = nn.BatchNorm2d(outputs),
    shortcut = not same and nn.Sequential{nn.Conv2d(inputs, outputs, 1, {stride = stride, bias = false}),
      nn.BatchNorm2d(outputs)} or nil,
    forward = function(self, x)
      local h = self.norm1(self.conv1(x)):relu()
      return (self.norm2(self.conv2(h)) + (self.shortcut and self.shortcut(x) or x)):relu()
    end,
  }
end

return function()
  return nn.Sequential{
    conv3(3, 16), nn.BatchNorm2d(16), nn.ReLU(),
    residual(16, 16, 1), residual(16, 16, 1), residual(16, 16, 1),
    residual(16, 32, 2), residual(32, 32, 1), residual(32, 32, 1),
    residual(32, 64, 2), residual(64, 64, 1), residual(64, 64, 1),
    nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10),
  }
end
