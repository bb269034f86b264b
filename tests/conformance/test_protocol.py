import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.subjects import protocol as p

text = st.text(max_size=8)
numbers = st.integers(0, 2**32 - 1)


def messages(kind):
    """Values of one message type, field by field."""
    fields = {field.encode_name: from_info(msgspec.inspect.type_info(field.type)) for field in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


def from_info(info):
    inspect = msgspec.inspect
    match info:
        case inspect.IntType(ge=None):
            return st.integers(-(2**63), 2**63 - 1)
        case inspect.IntType(ge=low, le=high):
            return st.integers(low, 2**64 - 1 if high is None else high)
        case inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case inspect.StrType():
            return text
        case inspect.BytesType():
            return st.binary(max_size=8)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return st.none() | text | st.booleans()
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.VarTupleType(item_type=item):
            return st.lists(from_info(item), max_size=2).map(tuple)
        case inspect.ListType(item_type=item):
            return st.lists(from_info(item), max_size=2)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(from_info(key), from_info(value), max_size=2)
        case inspect.UnionType(types=types):
            return st.one_of(*map(from_info, types))
        case inspect.StructType(cls=cls):
            return messages(cls)
    raise AssertionError(f"no strategy for {info}")


@pytest.mark.parametrize("kind", p.REQUESTS, ids=p.name_of)
@given(data=st.data())
def test_every_request_survives_the_wire(kind, data):
    line = p.RequestLine(data.draw(numbers), data.draw(messages(kind)))
    assert msgspec.json.decode(msgspec.json.encode(line), type=p.RequestLine) == line


@pytest.mark.parametrize("kind", p.REPLIES, ids=p.name_of)
@given(data=st.data())
def test_every_reply_survives_the_wire(kind, data):
    line = p.ReplyLine(data.draw(numbers), data.draw(messages(kind)))
    assert msgspec.json.decode(msgspec.json.encode(line), type=p.ReplyLine) == line


def test_names_on_the_wire_are_unique_and_say_their_facet():
    names = [p.name_of(kind) for kind in (*p.REQUESTS, *p.REPLIES)]
    assert len(set(names)) == len(names)
    assert {name.partition(".")[0] for name in names if "." in name} == set(p.FACET_VERSIONS)
    assert p.facet_of(p.PopValue()) is p.Facet.STREAMS
    assert p.facet_of(p.Hello()) is None


@pytest.mark.parametrize("ratio", [float("nan"), float("inf")])
def test_a_number_without_a_json_form_cannot_be_sent(ratio):
    with pytest.raises(ValueError, match="no JSON form"):
        p.OpenStream(2, ratio)
    with pytest.raises(ValueError, match="no JSON form"):
        p.EdgeSpec("a", "b", low_watermark_ratio=ratio)


@pytest.mark.parametrize("request_text", ['{"op":"streams.push"}', '{"op":"streams.push","value":1,"extra":2}', '{"op":"streams.fly"}'])
def test_a_request_that_is_none_is_refused(request_text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(f'{{"id":1,"request":{request_text}}}', type=p.RequestLine)
