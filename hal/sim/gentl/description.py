"""The GenApi description (XML) of the simulated camera, made from its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from hal.sim.gentl.features import Feature, Kind

REGISTER_BYTES = 64
_NAMESPACE = "http://www.genicam.org/GenApi/Version_1_1"
_GUID = "4D2F6C1E-93A7-4C0B-8B6A-0F5E7D1C2A30"


def describe(features: Sequence[Feature], addresses: Mapping[str, int]) -> bytes:
    """Return the description.

    Args:
        features: what the camera has.
        addresses: of the register of every feature, and of every limit that a feature names.
    """
    root = Element(
        "RegisterDescription",
        ModelName="VirtualUvCamera",
        VendorName="Leukolux",
        ToolTip="Simulated camera",
        StandardNameSpace="None",
        SchemaMajorVersion="1",
        SchemaMinorVersion="1",
        SchemaSubMinorVersion="0",
        MajorVersion="1",
        MinorVersion="0",
        SubMinorVersion="0",
        ProductGuid=_GUID,
        VersionGuid=_GUID,
        xmlns=_NAMESPACE,
    )
    categories: dict[str, list[str]] = {}
    for feature in features:
        categories.setdefault(feature.category, []).append(feature.name)
    _category(root, "Root", list(categories))
    for category, names in categories.items():
        _category(root, category, names)
    for feature in features:
        _NODES[feature.kind](root, feature, addresses)
        for limit in (feature.low, feature.high):
            if isinstance(limit, str):
                _integer_register(root, limit, addresses[limit], "RO")
    SubElement(root, "Port", Name="Device", NameSpace="Standard")
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _category(root: Element, name: str, members: list[str]) -> None:
    node = SubElement(root, "Category", Name=name, NameSpace="Standard")
    for member in members:
        _add(node, "pFeature", member)


def _add(node: Element, tag: str, text: object) -> None:
    SubElement(node, tag).text = str(text)


def _node(root: Element, feature: Feature) -> Element:
    node = SubElement(root, feature.kind.value, Name=feature.name, NameSpace="Standard")
    _add(node, "Visibility", "Beginner")
    return node


def _access(feature: Feature) -> str:
    return "RW" if feature.writable else "RO"


def _register(root: Element, tag: str, name: str, address: int, length: int, access: str) -> None:
    node = SubElement(root, tag, Name=name)
    _add(node, "Address", hex(address))
    _add(node, "Length", length)
    _add(node, "AccessMode", access)
    _add(node, "pPort", "Device")
    # What a camera does to its own registers is not known here, so nothing is kept.
    _add(node, "Cachable", "NoCache")
    if tag == "IntReg":
        _add(node, "Sign", "Signed")
    _add(node, "Endianess", "LittleEndian")


def _integer_register(root: Element, name: str, address: int, access: str) -> None:
    _register(root, "IntReg", name, address, 8, access)


def _limits(node: Element, feature: Feature) -> None:
    for tag, limit in (("Min", feature.low), ("Max", feature.high)):
        if limit is not None:
            _add(node, f"p{tag}" if isinstance(limit, str) else tag, limit)


def _integer(root: Element, feature: Feature, addresses: Mapping[str, int]) -> None:
    node = _node(root, feature)
    _add(node, "pValue", f"{feature.name}Reg")
    _limits(node, feature)
    if feature.step is not None:
        _add(node, "Inc", feature.step)
    if feature.unit:
        _add(node, "Unit", feature.unit)
    address = addresses[feature.name]
    _integer_register(root, f"{feature.name}Reg", address, _access(feature))


def _float(root: Element, feature: Feature, addresses: Mapping[str, int]) -> None:
    node = _node(root, feature)
    _add(node, "pValue", f"{feature.name}Reg")
    _limits(node, feature)
    if feature.unit:
        _add(node, "Unit", feature.unit)
    address = addresses[feature.name]
    _register(root, "FloatReg", f"{feature.name}Reg", address, 8, _access(feature))


def _enumeration(root: Element, feature: Feature, addresses: Mapping[str, int]) -> None:
    node = _node(root, feature)
    for name, value in feature.entries.items():
        entry = SubElement(node, "EnumEntry", Name=name, NameSpace="Standard")
        _add(entry, "Value", value)
    _add(node, "pValue", f"{feature.name}Reg")
    for selected in feature.selects:
        _add(node, "pSelected", selected)
    address = addresses[feature.name]
    _integer_register(root, f"{feature.name}Reg", address, _access(feature))


def _command(root: Element, feature: Feature, addresses: Mapping[str, int]) -> None:
    node = _node(root, feature)
    _add(node, "pValue", f"{feature.name}Reg")
    _add(node, "CommandValue", 1)
    _integer_register(root, f"{feature.name}Reg", addresses[feature.name], "WO")


def _string(root: Element, feature: Feature, addresses: Mapping[str, int]) -> None:
    node = _node(root, feature)
    _add(node, "Address", hex(addresses[feature.name]))
    _add(node, "Length", REGISTER_BYTES)
    _add(node, "AccessMode", _access(feature))
    _add(node, "pPort", "Device")
    _add(node, "Cachable", "NoCache")


_NODES = {
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.ENUMERATION: _enumeration,
    Kind.COMMAND: _command,
    Kind.STRING: _string,
}
