"""Chapter 13: answers that learners give, and words of the hint that each should get."""

from solutions.ch13 import band_rows, count_layer, multiplications, times_faster, two_outputs


def counted(flop=lambda f: f, size=lambda s, h, w, c, k: s):
    def answer(h, w, c, k):
        operations, whole = count_layer(h, w, c, k)
        return flop(operations), size(whole, h, w, c, k)

    return answer


def directly(d, w):
    return [sum(d[i + j] * w[j] for j in range(3)) for i in (0, 1)]


def products(d, w, half=2):
    at_1 = (d[1] + d[2]) * ((w[0] + w[1] + w[2]) / half)
    at_minus_1 = (d[2] - d[1]) * ((w[0] - w[1] + w[2]) / half)
    return [(d[0] - d[2]) * w[0], at_1, at_minus_1, (d[3] - d[1]) * w[2]]


def all_plus(d, w):
    m = products(d, w)
    return [m[0] + m[1] + m[2], m[1] + m[2] + m[3]]


def first_wrong(d, w):
    m = products(d, w)
    return [m[0] + m[1], m[1] - m[2] + m[3]]


def no_halves(d, w):
    m = products(d, w, 1)
    return [m[0] + m[1] + m[2], m[1] - m[2] + m[3]]


def again(d, w):
    return [two_outputs(d, w)[0], two_outputs(d, w)[1]]


WRONG = {
    "count_layer": [
        (counted(lambda f: f // 2), "*and* an addition"),
        (counted(lambda f: f // 9), "nine cells"),
        (counted(size=lambda s, *_: s // 4), "four bytes"),
        (counted(size=lambda s, h, w, c, k: s - 36 * c * k), "weights are read"),
        (counted(size=lambda s, h, w, c, k: s - 4 * h * w * k), "output is written"),
        (lambda *sizes: count_layer(*sizes)[::-1], "operations first"),
        (lambda *sizes: count_layer(*sizes)[0], "two numbers"),
    ],
    "two_outputs": [
        (directly, "6 multiplications"),
        (all_plus, "first output is right"),
        (first_wrong, "second output is right"),
        (no_halves, "neither output"),
        (again, "form each product once"),
        (lambda d, w: two_outputs(d, w)[::-1], "wrong order"),
        (lambda d, w: two_outputs(d, w)[0], "two outputs are asked for"),
    ],
    "multiplications": [
        (lambda size, m: (m + 2) ** 2, "one tile"),
        (lambda size, m: 9 * size**2, "direct way"),
        (lambda size, m: (size // m) ** 2 * (m + 2) ** 2, "round up"),
        (lambda size, m: (size / m) ** 2 * (m + 2) ** 2, "fractions"),
        (lambda size, m: (-(-size // m)) ** 2 * (m + 3) ** 2, "not 7"),
        (lambda size, m: -(-size // m) * (m + 2), "two"),
        (lambda size, m: (-(-size // m)) ** 2 * 36, "8 x 8"),
        (lambda size, m: [multiplications(size, m)], "one number"),
    ],
    "band_rows": [
        (lambda width, c, k: max(1, 2**20 // (4 * width * c)), "k x k times"),
        (lambda width, c, k: max(1, 2**20 // (4 * width * c * k)), "not k"),
        (lambda width, c, k: max(1, 2**20 // (width * c * k * k)), "four bytes"),
        (lambda width, c, k: max(1, 2**20 / (4 * width * c * k * k)), "use //"),
        (lambda width, c, k: 2**20 // (4 * width * c * k * k), "at least one"),
        (lambda width, c, k: [band_rows(width, c, k)], "one number"),
    ],
    "times_faster": [
        (lambda alone, n: n, "not shared"),
        (lambda alone, n: 1 / times_faster(alone, n), "that is the time"),
        (lambda alone, n: n * (1 - alone), "add *times*"),
        (lambda alone, n: 1 / (alone / n + 1 - alone), "other way around"),
        (lambda alone, n: 2.5, "two threads take half"),
    ],
}
