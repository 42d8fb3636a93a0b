"""What the stand-in for a device array offers: the names and arguments that CuPy 13.6 and 14.2 both have.

`test_strict_array.py` compares these lists with CuPy itself where it is installed. To offer more, add a line.
"""

from __future__ import annotations


def parse(table: str) -> dict[str, list[str]]:
    """Turn lines of "name argument argument | name ..." into {name: arguments}."""
    entries = [entry.split() for line in table.splitlines() for entry in line.split("|")]
    return {words[0]: words[1:] for words in entries if words}


# The name of a function, then CuPy's own names of its arguments.
FUNCTIONS = parse("""
all a axis out keepdims | allclose a b rtol atol equal_nan | amax a axis out keepdims
amin a axis out keepdims | any a axis out keepdims | arange start stop step dtype
argmax a axis dtype out keepdims | argmin a axis dtype out keepdims | argpartition a kth axis
argsort a axis kind | argwhere a | around a decimals out | array_equal a1 a2 equal_nan
array_split ary indices_or_sections axis | ascontiguousarray a dtype | atleast_1d *arys
atleast_2d *arys | bincount x weights minlength | broadcast_arrays *args
broadcast_to array shape | clip a a_min a_max out | column_stack tup
concatenate tup axis out dtype casting | copy a order | copyto dst src casting where
count_nonzero a axis | cumprod a axis dtype out | cumsum a axis dtype out | diag v k
diagonal a offset axis1 axis2 | diff a n axis prepend append | dot a b out
einsum *operands dtype optimize | empty shape dtype order
empty_like prototype dtype order subok shape | expand_dims a axis | eye N M k dtype order
flatnonzero a | flip a axis | full shape fill_value dtype order
full_like a fill_value dtype order subok shape | hstack tup dtype casting | identity n dtype
indices dimensions dtype | inner a b | isclose a b rtol atol equal_nan
isin element test_elements assume_unique invert | lexsort keys
linspace start stop num endpoint retstep dtype axis | matmul *args out dtype
max a axis out keepdims | mean a axis dtype out keepdims
median a axis out overwrite_input keepdims | meshgrid *xi indexing sparse copy
min a axis out keepdims | moveaxis a source destination | nan_to_num x copy nan posinf neginf
ndim a | nonzero a | ones shape dtype order | ones_like a dtype order subok shape | outer a b out
pad array pad_width mode constant_values | partition a kth axis | prod a axis dtype out keepdims
putmask a mask values | ravel a order | ravel_multi_index multi_index dims mode order
repeat a repeats axis | reshape a newshape order | result_type *arrays_and_dtypes
roll a shift axis | round a decimals out | searchsorted a v side sorter
select condlist choicelist default | shape a | size a axis | sort a axis kind
split ary indices_or_sections axis | squeeze a axis | stack tup axis out dtype casting
std a axis dtype out ddof keepdims | sum a axis dtype out keepdims | swapaxes a axis1 axis2
take a indices axis out | take_along_axis a indices axis | tensordot a b axes | tile A reps
trace a offset axis1 axis2 dtype out | transpose a axes | tril m k | triu m k
unique ar return_index return_inverse return_counts axis | unravel_index indices dims order
var a axis dtype out ddof keepdims | vstack tup dtype casting | where condition x y
zeros shape dtype order | zeros_like a dtype order subok shape
linalg.norm x ord axis keepdims | lib.stride_tricks.as_strided x shape strides
""")

METHODS = parse("""
all axis out keepdims | any axis out keepdims | argmax axis out keepdims
argmin axis out keepdims | argpartition kth axis | argsort axis
astype dtype order casting subok copy | clip min max out | copy order | cumprod axis dtype out
cumsum axis dtype out | diagonal offset axis1 axis2 | dot b out | fill value | flatten order
max axis out keepdims | mean axis dtype out keepdims | min axis out keepdims | nonzero
partition kth axis | prod axis dtype out keepdims | ravel order | repeat repeats axis
reshape *shape order | round decimals out | searchsorted v side sorter | sort axis
squeeze axis | std axis dtype out ddof keepdims | sum axis dtype out keepdims
swapaxes axis1 axis2 | take indices axis out | trace offset axis1 axis2 dtype out
transpose *axes | var axis dtype out ddof keepdims | view dtype
""")

# Universal functions: arrays, then out, dtype and casting, but never `where`.
UFUNCS = parse("""
abs | absolute | add | arctan | arctan2 | ceil | copysign | cos | cosh | divide | equal | exp
exp2 | expm1 | fabs | floor | floor_divide | fmax | fmin | fmod | greater | greater_equal | hypot
invert | isfinite | isinf | isnan | left_shift | less | less_equal | log | log10 | log1p | log2
logaddexp | logical_and | logical_not | logical_or | logical_xor | maximum | minimum | mod
multiply | negative | not_equal | power | reciprocal | remainder | right_shift | rint | sign
signbit | sin | sinh | sqrt | square | subtract | tan | tanh | true_divide | trunc
bitwise_and | bitwise_or | bitwise_xor
""")

PROPERTIES = parse("dtype | flags | itemsize | nbytes | ndim | shape | size | strides")

SAME_AS_NUMPY = parse("""
bool_ | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float16 | float32
float64 | dtype | newaxis | pi | e | inf | nan | finfo | iinfo | issubdtype | promote_types
can_cast | broadcast_shapes
""")

# Arguments that take device arrays. All others (shape, axis, repeats ...) are host values: a device
# array there would have to be read back first.
DATA = parse("""
A | a | a1 | a2 | a_max | a_min | append | ar | array | ary | b | condition | dst | element
fill_value | indices | keys | m | mask | max | min | out | prepend | prototype | sorter | src
test_elements | v | value | values | weights | where | x | y
""")
# Arguments that take a sequence of device arrays.
SEQUENCES = parse("""
tup | arys | args | operands | xi | condlist | choicelist | multi_index | arrays_and_dtypes
""")

SYNCHRONISING = parse("argwhere | bincount | flatnonzero | nonzero | unique")
HOST_ANSWERS = parse(
    "ndim | shape | size | result_type"
)  # metadata: known without asking the device

# CuPy's atomic operations exist for some types only: int64 and bool are not among them.
AT_DTYPES = parse("""
add int32 uint32 uint64 float16 float32 float64
maximum int32 uint32 uint64 float32 float64
minimum int32 uint32 uint64 float32 float64
""")
