"""Algorithms of convolution, one file each, behind the one face `nn.conv.Conv2d`."""
