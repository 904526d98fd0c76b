--- Gradients of losses: the losses once more, as their formulas say.
-- @module latent.base.grad.losses

return function(core, again)
  local ops = core.ops

  local function reduced(terms, reduction)
    return reduction == "none" and terms or ops[reduction](terms)
  end

  local STEEPEST = 80 -- beyond this log-variance gaussian_kl goes on as a straight line

  return {
    mse_loss = again(function(p, x, target) return reduced(ops.square(x - target), p.reduction) end),
    bce_with_logits = again(function(p, x, target)
      return reduced(ops.softplus(x) - x * target, p.reduction)
    end),
    gaussian_nll = again(function(p, mu, log_var, target)
      local terms = (log_var + ops.square(mu - target) * ops.exp(-log_var)) * 0.5
      return reduced(terms, p.reduction) -- a constant has no gradient
    end),
    gaussian_kl = again(function(p, mu, log_var)
      local variance = ops.exp(ops.clamp(log_var, {max = STEEPEST}))
      local beyond = ops.relu(log_var - STEEPEST) * math.exp(STEEPEST)
      local terms = ops.sum(ops.square(mu) + variance + beyond - 1 - log_var, -1) * 0.5
      return reduced(terms, p.reduction)
    end),
    cross_entropy = again(function(p, x, labels)
      local chosen = ops.one_hot(labels, x:size(2))
      return reduced(-ops.sum(ops.log_softmax(x, 2) * chosen, 2), p.reduction)
    end),
  }
end
