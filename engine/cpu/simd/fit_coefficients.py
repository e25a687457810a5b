"""Fits the coefficients of math.h and prints them as C++ constants with the error of the fit.

Needs numpy and mpmath. A weighted least-squares fit whose weights are raised where the error is largest (Lawson's
iteration) comes close to the minimax polynomial; a quotient is made linear by dividing by the denominator of the round
before (Sanathanan and Koerner). Errors are relative, in units of 2^-24, half a unit in the last place of a float; the
coefficients are rounded to float before the error is measured.
"""
import mpmath
import numpy as np

mpmath.mp.dps = 40
ULP = 2.0**-24


def nodes(low, high, count=600):
    angle = np.pi * (np.arange(count) + 0.5) / count
    return (low + high) / 2 - (high - low) / 2 * np.cos(angle)


def lawson(solve, error, count, rounds=400):
    """Re-solves with weights multiplied by the error; returns the solution with the least largest error."""
    weight = np.full(count, 1.0 / count)
    best = (np.inf, None)
    for _ in range(rounds):
        solution = solve(np.sqrt(weight))
        size = np.abs(error(solution))
        if size.max() < best[0]:
            best = (size.max(), solution)
        weight = weight * (size + 1e-3 * size.max())
        weight /= weight.sum()
    return best[1]


def fit_exp(degree):
    """p with e^r = 1 + r + r^2 p(r) on |r| <= ln(2)/2, relative to e^r."""
    half = float(mpmath.log(2) / 2) * 1.0001
    r = nodes(-half, half)
    target = np.array([float((mpmath.exp(mpmath.mpf(x)) - 1 - x) / mpmath.mpf(x) ** 2) for x in r])
    scale = r**2 / np.exp(r)
    basis = np.vander(r, degree + 1, increasing=True)

    def solve(w):
        return np.linalg.lstsq(basis * (scale * w)[:, None], target * scale * w, rcond=None)[0]

    p = lawson(solve, lambda c: (basis @ c - target) * scale, len(r)).astype(np.float32)
    return p, np.abs((basis @ p.astype(float) - target) * scale).max() / ULP


def fit_mills(top, bottom, high):
    """p, q with q(0) = 1 and p(a) / q(a) = Phi(-a) exp(a^2 / 2) on [0, high]."""
    a = np.concatenate([nodes(0, 2, 300), nodes(0, high, 500)])
    target = np.array([float(mpmath.erfc(mpmath.mpf(x) / mpmath.sqrt(2)) / 2 * mpmath.exp(mpmath.mpf(x) ** 2 / 2))
                       for x in a])
    p_basis = np.vander(a, top + 1, increasing=True)
    q_basis = np.vander(a, bottom + 1, increasing=True)[:, 1:]
    state = {"q": np.ones(len(a))}

    def solve(w):
        scale = w / (state["q"] * target)
        matrix = np.hstack([p_basis, -q_basis * target[:, None]]) * scale[:, None]
        norm = np.linalg.norm(matrix, axis=0)
        c = np.linalg.lstsq(matrix / norm, target * scale, rcond=None)[0] / norm
        state["q"] = 1 + q_basis @ c[top + 1:]
        return c

    def error(c):
        return (p_basis @ c[:top + 1]) / (1 + q_basis @ c[top + 1:]) / target - 1

    c = lawson(solve, error, len(a)).astype(np.float32).astype(float)
    return c[:top + 1], np.concatenate([[1.0], c[top + 1:]]), np.abs(error(c)).max() / ULP


def show(name, c):
    print(f"constexpr float {name}[] = {{" + ", ".join(f"{np.float32(x):.9g}f" for x in c) + "};")


if __name__ == "__main__":
    p, error = fit_exp(4)
    print(f"// exp: error of the fit {error:.3f} x 2^-24")
    show("kExp", p)
    p, q, error = fit_mills(4, 5, 14.5)
    print(f"// scaled normal tail: error of the fit {error:.3f} x 2^-24")
    show("kTailTop", p)
    show("kTailBottom", q)
