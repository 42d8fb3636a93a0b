"""The layer library: forward and backward on arrays, knowing nothing of boxes."""

from minissd.nn.activation import ReLU, ReLU6
from minissd.nn.conv import Conv2d
from minissd.nn.dropout import Dropout
from minissd.nn.l2_norm import L2Normalize
from minissd.nn.layer import Layer, Parameter, Sequential
from minissd.nn.linear import Linear
from minissd.nn.norm import BatchNorm2d
from minissd.nn.pool import GlobalAvgPool, MaxPool2d
from minissd.nn.residual import Residual

__all__ = [
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "GlobalAvgPool",
    "L2Normalize",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Residual",
    "Sequential",
]
