"""Export: a trained network as one ONNX file, which other runtimes read."""
