"""Recomputes the ledger's numbers in fifty digits, from the statements alone, and compares.

    gradus-exam --json ledger.json && python compare.py ledger.json

Nothing here is shared with the library or with the ledger's own checks: derivatives are mpmath's,
expectations its quadrature, determinants and eigenvalues its linear algebra.
Exit code 1 where a number differs, 3 where the file is none of a ledger.
"""

import json
import sys

import mpmath as mp
from mpmath import mpf

mp.mp.dps = 50


def grid(low, high, count):
    return [mpf(low) + (mpf(high) - mpf(low)) * i / (count - 1) for i in range(count)]


def log_normal_density(z, mu, sigma):
    return mp.npdf((mp.log(z) - mu) / sigma) / (z * sigma)


def derivatives(f, points, order=1):
    return [mp.diff(f, x, order) for x in points]


def gradient(f, at):
    return [mp.diff(f, tuple(at), tuple(int(i == k) for i in range(len(at)))) for k in range(len(at))]


# ---- one function a problem: what is compared -> its numbers ----------------------------------------


def d1(quick):
    a, x = [mpf("0.6"), mpf("-1.1")], [mpf("0.4"), mpf("0.9")]

    def image(i):
        return lambda p, q: 1 / (1 + mp.exp(-a[i] * (a[0] * p + a[1] * q)))

    jacobian = [g for i in (0, 1) for g in gradient(image(i), x)]
    yield "D1a", "J = diag(σ′(Ax)) A", jacobian
    maps = [
        lambda x, y, z: (z + y) ** 3,
        lambda x, y, z: x**4 * y + z**4,
        lambda x, y, z: mp.exp(z),
    ]
    at = [mpf("0.7"), mpf("-1.2"), mpf("0.4")]
    yield "D1b", "det J at (0.7, -1.2, 0.4)", [mp.det(mp.matrix([gradient(f, at) for f in maps]))]
    yield "D1c", "differential entropy, before and after x + b", [mp.log(2 * mp.pi * mp.e) / 2]


def d2(quick):
    points = grid(-4, 4, 17)
    yield "D2a", "Q(T(ε)) = F(ε)", [mp.ncdf(e) for e in points]
    yield "D2a", "the density, by change of variables", [log_normal_density(mp.exp(e), 0, 1) for e in points]
    for mu, m in (("-1.0", -1), ("0.00", 0), ("0.50", mpf("0.5"))):
        for sigma, s in (("0.3", mpf("0.3")), ("1.0", 1), ("2.0", 2)):
            at = f" at μ = {mu}, σ = {sigma}"
            z = grid(mpf("0.1"), 6, 13)
            yield "D2b", "the law of M(z)" + at, [mp.ncdf(mp.log(x)) for x in z]
            yield "D2b", "its density" + at, [log_normal_density(x**s * mp.exp(m), m, s) for x in z]
    m, s, noise = mpf("0.3"), mpf("0.8"), grid(-3, 3, 13)
    yield "D2c", "C = M ∘ T", [mp.exp(s * e + m) for e in noise]
    yield "D2c", "∂C/∂μ = C", [mp.diff(lambda t: mp.exp(s * e + t), m) for e in noise]
    yield "D2c", "∂C/∂σ = ε C", [mp.diff(lambda t: mp.exp(t * e + m), s) for e in noise]

    def expectation(mu, sigma):
        return mp.quad(lambda x: mp.exp(sigma * x + mu) * mp.npdf(x), mp.linspace(-14, 14, 15))

    yield "D2c", "E[z] = exp(μ + σ²/2)", [expectation(m, s)]
    yield "D2c", "its pathwise gradient", gradient(lambda u, t: mp.exp(u + t * t / 2), [m, s])

    def divergence(mu, sigma, log_q):
        def term(x):
            log_p = mp.log(mp.npdf((x - mu) / sigma) / sigma) - x
            return mp.npdf((x - mu) / sigma) / sigma * (log_p - log_q(x))

        return mp.quad(term, mp.linspace(mu - 15 * sigma, mu + 15 * sigma, 31))

    same = divergence(m, s, lambda x: mp.log(mp.npdf(x)) - x)
    yield "D2d", "KL(log N(μ,σ²) ‖ log N(0,1))", [same]
    yield "D2d", "its gradient: μ, σ - 1/σ", gradient(lambda u, t: (u * u + t * t - 1 - mp.log(t * t)) / 2, [m, s])
    other = divergence(m, s, lambda x: -mp.exp(2 * x) / 2 - mp.log(2 * mp.pi) / 2)
    yield "D2d", "KL(log N(μ,σ²) ‖ N(0,1)), the finite direction", [other]


def d3(quick):
    real, fake = [mpf(x) for x in ("0.3", "-1.2", "2")], [mpf(x) for x in ("-0.4", "0.8", "1.5")]

    def value(*l):
        return sum(-mp.log1p(mp.exp(-l[i])) - mp.log1p(mp.exp(l[3 + i])) for i in range(3)) / 6

    yield "D3a", "V", [value(*real, *fake)]
    yield "D3a", "∂V/∂l: above 0 at real points, below at generated ones", gradient(value, real + fake)
    p, q = [mpf(x) for x in (".1", ".2", ".7")], [mpf(x) for x in (".5", ".3", ".2")]

    def jsd(p, q):
        return sum(a * mp.log(2 * a / (a + b)) + b * mp.log(2 * b / (a + b)) for a, b in zip(p, q)) / 2

    yield "D3b", "JSD of (.1, .2, .7) and (.5, .3, .2)", [jsd(p, q)]
    yield "D3b", "D* = p / (p + q)", [a / (a + b) for a, b in zip(p, q)]
    yield "D3b", "max V = JSD - log 2", [jsd(p, q) - mp.log(2)]

    def of_theta(*theta):
        total = sum(mp.exp(t) for t in theta)
        return jsd([mp.exp(t) / total for t in theta], q)

    theta = [mpf("0.2"), mpf("-0.5"), mpf("1.1")]
    yield "D3b", "∇_θ max V with D* held fixed = ∇_θ JSD", gradient(of_theta, theta)

    def term(x):
        a, b = mp.npdf(x), mp.npdf(x - mpf("1.5"))
        return (a * mp.log(2 * a / (a + b)) + b * mp.log(2 * b / (a + b))) / 2

    yield "D3b", "JSD of N(0, 1) and N(1.5, 1)", [mp.quad(term, mp.linspace(-10, 12, 23))]


def d4(quick):
    betas = grid(mpf("1e-3"), mpf("0.3"), 20)
    bars = [mp.fprod(1 - b for b in betas[:n]) for n in range(21)]
    yield "D4", "n steps compose: the mean's factor √ᾱ_n", [mp.sqrt(bar) for bar in bars[1:]]
    yield "D4", "n steps compose: the variance 1 - ᾱ_n", [1 - bar for bar in bars[1:]]
    x0, z = mpf("0.8"), mpf("-0.4")
    for n in (2, 7, 20):
        # Completing the square of q(z_n | z_{n-1}) q(z_{n-1} | x_0).
        alpha, beta = 1 - betas[n - 1], betas[n - 1]
        precision = alpha / beta + 1 / (1 - bars[n - 1])
        mean = (mp.sqrt(alpha) * z / beta + mp.sqrt(bars[n - 1]) * x0 / (1 - bars[n - 1])) / precision
        yield "D4", f"the posterior at n = {n}", [mean, 1 / precision]
    s2 = mpf("1.7")
    points = [mpf("-1.5"), mpf("0.2"), mpf("0.9")]
    yield "D4a", "ELBO = log p(x) for the true reverse process", [mp.log(mp.npdf(x / mp.sqrt(s2)) / mp.sqrt(s2)) for x in points]
    logs = []
    for f in (mp.sin, mp.log1p):
        for steps in (10, 1000):
            logs.append(sum(mp.log(1 - f(mpf(n) / steps)) for n in range(1, steps + 1)))
    yield "D4d", "log ᾱ_N of both at N = 10 and 1000", logs
    linear = grid(mpf("1e-4"), mpf("0.02"), 1000)
    yield "D4d", "ᾱ₁₀₀₀ of the linear schedule", [mp.fprod(1 - b for b in linear)]


def calculus(quick):
    n = mp.matrix([1, -1, 1])
    a = 4 * mp.eye(3) - mpf(10) / 3 * n * n.T
    yield "M10", "eigenvalues", sorted(mp.eigsy(a, eigvals_only=True))
    yield "M10", "det", [mp.det(a)]
    inverse = a**-1
    yield "M10", "∇ log |det A| = A⁻ᵀ", [inverse[j, i] for i in range(3) for j in range(3)]
    c = mpf("1.702")

    def phi(z):
        return z / (1 + mp.exp(-c * z))

    points = grid(-6, 6, 49 if quick else 241)
    yield "M34", "φ′", derivatives(phi, points)
    yield "M34", "φ″", derivatives(phi, points, 2)
    top = mp.findroot(lambda z: mp.diff(phi, z, 2), 1.4)
    yield "M34", "φ′(0) = ½, and its extremes", [mp.diff(phi, 0), mp.diff(phi, top), mp.diff(phi, -top)]
    yield "M34", "min φ = -W(1/e) / c", [phi(mp.findroot(lambda z: mp.diff(phi, z), -0.75))]


def chains(quick):
    alpha, x0 = mpf("0.9"), mpf("1.4")
    yield "M39", "the mean α^t x₀", [alpha**t * x0 for t in range(1, 41)]
    yield "M39", "the deviation √(1 - α^2t)", [mp.sqrt(1 - alpha ** (2 * t)) for t in range(1, 41)]
    mean, variance = alpha**25 * x0, 1 - alpha**50
    yield "M39", "KL(p(x_T | x₀) ‖ N(0, 1))", [(mean**2 + variance - 1 - mp.log(variance)) / 2]
    atoms, weights = [mpf(x) for x in ("-1.3", ".4", "2.1")], [mpf(x) for x in (".2", ".5", ".3")]

    def density(x, t):
        deviation = mp.sqrt(1 - alpha ** (2 * t))
        return sum(w * mp.npdf((x - alpha**t * a) / deviation) / deviation for w, a in zip(weights, atoms))

    def score(x, t):
        return mp.diff(lambda y: mp.log(density(y, t)), x)

    yield "M40", "∇log p_t of a mixture", [score(x, 3) for x in grid(-3, 3, 25)]
    with mp.workdps(25):
        spread = mp.quad(lambda x: score(x, 3) ** 2 * density(x, 3), mp.linspace(-7, 7, 15))
        constant = [(1 / (1 - alpha**6) - spread) / 2]
    for first in ("-1.0", "0.30", "0.00"):
        yield "M41", f"L_DSM - L_ESM at θ = ({first}, ...)", constant
    for t in (1, 3, 10):
        deviation = mp.sqrt(1 - alpha ** (2 * t))
        yield "M42", f"∇log p(x_t | x₀) = -ξ / √(1 - α^2t), t = {t}", [-e / deviation for e in grid(-3, 3, 13)]
        yield "M42", f"the ratio of the losses is 1 / (1 - α^2t), t = {t}", [1 / deviation**2]


def networks(quick):
    sizes = [(1, 8, 16), (2, 8, 16), (1, 16, 16), (1, 8, 32), (3, 12, 8)]
    cost = [mpf(n * (24 * s * d * d + 4 * s * s * d)) for n, s, d in sizes]
    for mask in ("under a causal mask", "without a mask"):
        yield "M12", f"{mask}: 4n²d", [mpf(4 * n * n * 4) for n in (8, 16, 32, 64)]
    yield "M27", "operations of matrix products: N (24SD² + 4S²D)", cost
    x, y = [mpf("0.5"), mpf(-1)], [mpf("1.3"), mpf("0.4")]
    block = mp.matrix(12)  # the Hessian of y W Z^T x, W and Z of (2, 3), row by row
    for i in range(2):
        for j in range(2):
            for k in range(3):
                block[3 * i + k, 6 + 3 * j + k] = block[6 + 3 * j + k, 3 * i + k] = y[i] * x[j]
    values = sorted(mp.eigsy(block, eigvals_only=True))
    yield "M29", "the joint Hessian's least and largest eigenvalue: ∓|x||y|", [values[0], values[-1]]


def main():
    if len(sys.argv) != 2:
        print("usage: compare.py LEDGER.json", file=sys.stderr)
        return 2
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            ledger = json.load(file)
        quick = ledger["quick"]
        found = {(s["id"], e["what"]): e for s in ledger["statements"] for e in s["evidence"]}
        asked = {s["id"] for s in ledger["statements"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"oracle: {sys.argv[1]}: is no ledger: {error}", file=sys.stderr)
        return 3
    compared = wrong = 0
    seen = set()
    for problem in (d1, d2, d3, d4, calculus, networks, chains):
        for name, what, exact in problem(quick):
            if name not in asked:
                continue
            entry = found.get((name, what))
            if entry is None:
                print(f"{name}: the ledger has no '{what}'")
                wrong += 1
                continue
            for route in ("closed", "autodiff"):
                values = entry.get(route) or []
                if route == "closed" and len(values) == 1:
                    values = values * len(exact)
                if not values:
                    continue
                if len(values) != len(exact):
                    print(f"{name}: {what}: {route} has {len(values)} numbers, the oracle {len(exact)}")
                    wrong += 1
                    continue
                scale = max(abs(x) for x in exact)
                worst = max(abs(mpf(v) - x) for v, x in zip(values, exact)) / scale if scale else mpf(0)
                compared += len(exact)
                seen.add(name)
                if not worst <= (mpf("1e-12") if route == "closed" else mpf("1e-9")):
                    print(f"{name}: {what}: {route} is off by {mp.nstr(worst, 3)} of the largest")
                    wrong += 1
    print(f"oracle: {compared} numbers of {len(seen)} statements recomputed, {wrong} differ")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
