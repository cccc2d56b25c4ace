"""Put a pretrained ONNX model into the graph of an export."""

import onnx
from onnx import inliner, version_converter

from sklearn_dl.models._onnx import graph_facts, parse
from sklearn_dl.runtimes.onnx._ends import CAST_INPUTS, CAST_OUTPUTS
from sklearn_dl.runtimes.onnx._graph import cut


class NeedsOpset(Exception):
    """A model has newer operators than the export. The argument is their version."""


def embedded(exporter, content, outputs, inputs, parameter, constants=()):
    """Add an ONNX model to the graph of an export.

    If the model has a fixed batch size, the exported file has the same. Models with dynamic
    quantization get a batch size of 1, because the result of a row depends on the other rows of a
    run.

    Parameters
    ----------
    exporter : Exporter
    content : OnnxModel
    outputs : tuple of str or None
        The tensors that are used. None: all outputs of the model.
    inputs : dict of str to Value
        By the names of the inputs of the model.
    parameter : str, Path, bytes or onnx.ModelProto
        The parameter `model` of the estimator.
    constants : collection of str, default=()
        Names of inputs that have one value for all rows. Their first axis is not the batch.

    Returns
    -------
    made : dict of str to Value
        The outputs, by their names.

    Raises
    ------
    NeedsOpset
        If the standard operators of the model are newer than those of the export.
    """
    model = parse(content.read_whole(), content.name)
    if outputs is not None:
        cut(model, outputs)
    skip_zip_maps(model)
    if graph_facts(content).mixes_rows:
        exporter.fix_rows(1)
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        has_rows = value.name in inputs and value.name not in constants
        if has_rows and dims and dims[0].dim_value:
            exporter.fix_rows(dims[0].dim_value)
    for value in model.graph.output:
        if value.type.tensor_type.HasField("shape") and not value.type.tensor_type.shape.dim:
            exporter.refuse(
                f"the output {value.name!r} of its network does not have one result per row",
                "Name other tensors in `outputs`.",
            )
    inputs, kinds = dict(inputs), {}
    for value in model.graph.input:
        # inputs whose type numpy does not have are cast, as in scoring
        if value.name in inputs and _type_of(value) in CAST_INPUTS:
            to = value.type.tensor_type.elem_type
            inputs[value.name] = exporter.graph.Cast(inputs[value.name], to=to)
    for value in model.graph.output:
        kinds[value.name] = CAST_OUTPUTS.get(_type_of(value))
    made = exporter.graph.embed(_at_opset(model, exporter, content.name), inputs)
    for name, kind in kinds.items():
        if kind is not None:
            made[name] = exporter.graph.Cast(made[name], to=onnx.TensorProto.DataType.Value(kind))
    exporter.made_from(content.sha256, parameter)
    return made


def _type_of(value):
    """The type of a ValueInfoProto, as ONNX Runtime writes it."""
    kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    return f"tensor({kind.lower()})"


def _at_opset(model, exporter, name):
    """Convert the model to the export's version of the standard operators."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    version = versions.get("", versions.get("ai.onnx", exporter.graph.opset))
    if version > exporter.graph.opset:
        raise NeedsOpset(version)
    if versions.get("ai.onnx.ml", 2) < 2:
        for node in model.graph.node:
            if node.op_type == "LabelEncoder":
                exporter.refuse(
                    f"{name} has an operator LabelEncoder of ai.onnx.ml 1, which newer versions "
                    "define differently",
                    "Convert the model to ai.onnx.ml 2 or later.",
                )
    if version == exporter.graph.opset:
        return model
    try:
        inlined = inliner.inline_local_functions(model)
        return version_converter.convert_version(inlined, exporter.graph.opset)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise ValueError(
            f"{' > '.join(exporter.path)} cannot be exported: onnx cannot convert {name} from "
            f"opset {version} to {exporter.graph.opset}: {error}"
        ) from error


def skip_zip_maps(model):
    """Replace the outputs of a parsed model that are maps by tables, in place.

    A ZipMap gives a map from labels to scores for each row. ONNX Runtime sorts it by label. The
    columns of the table are sorted in the same way.
    """
    maker = {name: node for node in model.graph.node for name in node.output}
    for output in model.graph.output:
        node = maker.get(output.name)
        if node is None or node.op_type != "ZipMap":
            continue
        (labels,) = (onnx.helper.get_attribute_value(attribute) for attribute in node.attribute)
        order = sorted(range(len(labels)), key=labels.__getitem__)
        name = f"{output.name}_order"
        model.graph.initializer.append(
            onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(order)], order)
        )
        gather = onnx.helper.make_node("Gather", [node.input[0], name], [output.name], axis=1)
        node.CopyFrom(gather)
        output.CopyFrom(
            onnx.helper.make_tensor_value_info(
                output.name, onnx.TensorProto.FLOAT, [None, len(labels)]
            )
        )
