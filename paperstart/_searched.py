"""Which hyperparameters does a first search vary?

Decided by name, where a recipe file does not decide it. A first search has some dozens
of trials, so it varies what an expert tries first: how weights are updated and what
keeps them from overfitting. The list is our own choice. As published stays:

- what the data are: sizes of images, lengths of sequences, vocabularies, cropping;
- what a training costs: epochs, steps, tokens, what fits on one device;
- the form of a named network. With other channels it is another one that its published
  weights do not fit, and sizes that are drawn one by one do not fit each other;
- what makes the published method: its optimizer, losses, thresholds, initialization;
- what frameworks have good defaults for, such as the momentum of batch norm, unless it
  is undisclosed: what a paper does not say is what one knows least.
"""

from __future__ import annotations

from collections.abc import Collection

_EVERYWHERE = frozenset(
    (
        *("learning_rate", "momentum", "nesterov", "beta1", "beta2", "epsilon"),
        *("rmsprop_decay", "ema_decay", "batch_size", "grad_clip_norm"),
        # The second network of a pair has a rate of its own.
        *("critic_learning_rate", "discriminator_learning_rate"),
        *("lr_schedule", "lr_decay_factor", "lr_decay_epochs", "lr_decay_steps"),
        *("warmup_epochs", "warmup_steps"),
        *("weight_decay", "dropout", "drop_path", "label_smoothing"),
        *("mixup_alpha", "cutmix_alpha"),
        # Reinforcement learning: how far one looks and steps, how much one explores.
        *("discount", "gae_lambda", "clip_range", "entropy_coefficient"),
        "target_update_rate",
        # Contrastive learning: how sharp the loss is.
        *("temperature", "contrastive_temperature"),
    )
)
_IF_UNDISCLOSED = frozenset(("bn_momentum", "bn_epsilon"))
_NETWORK = frozenset(("hidden_layers", "hidden_units"))
# Who publishes one of these has a network whose layers and units must fit its form:
# heads divide the units, stages share the layers. All others are plain stacks.
_FORM = frozenset(("attention_heads", "mlp_units", "channels", "kernel_size"))
_FORM |= {"image_size", "patch_size"}


def varies_first(name: str, published: Collection[str]) -> bool:
    """Whether a first search varies ``name``.

    Args:
        name: the hyperparameter's name.
        published: the names of all that the recipe publishes.
    """
    if name in _NETWORK:
        return _FORM.isdisjoint(published)
    if name == "batch_size" and name not in published:
        return "batch_tokens" not in published  # they say how large a batch is
    if name == "lr_decay_steps":  # without a factor, it is how long the training is
        return "lr_decay_factor" in published
    if name in _IF_UNDISCLOSED:
        return name not in published
    return name in _EVERYWHERE
