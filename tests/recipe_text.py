"""The text of a small recipe file that is right, for tests to break."""

GOOD = """\
id: own
title: A title
model: A model
arxiv: "2010.11920"
year: 2020
task: image-classification
dataset: CIFAR-10
hyperparameters:
  learning_rate:
    value: 0.1
    source: {kind: paper, where: table 2, url: "https://arxiv.org/abs/2010.11920v1"}
checked: 2026-01-31
"""
