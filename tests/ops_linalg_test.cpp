// Rows of linear algebra. Matrices are drawn near a diagonal that keeps them far from singular,
// with values apart; what happens elsewhere is in linalg_test.cpp.
#include <numeric>

#include "gradus/autograd/linalg.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

Tensor part(const Tensor& a, std::int64_t r0, std::int64_t r1, std::int64_t c0, std::int64_t c1) {
  return a.slice(-2, r0, r1).slice(-1, c0, c1);
}
Tensor blocks(const Tensor& a, const Tensor& b, const Tensor& c, const Tensor& d) {
  return concat({concat({a, b}, -1), concat({c, d}, -1)}, -2);
}
Tensor transposed(const Tensor& a) { return a.transpose(-2, -1); }

// Elimination of the first row and column: what is left.
struct Eliminated {
  Tensor pivot, row, column, rest;
  explicit Eliminated(const Tensor& a) {
    const std::int64_t n = a.size(-1);
    pivot = part(a, 0, 1, 0, 1);
    row = part(a, 0, 1, 1, n);
    column = part(a, 1, n, 0, 1);
    rest = part(a, 1, n, 1, n) - column * row / pivot;
  }
};

Tensor inverse(const Tensor& a) {
  if (a.size(-1) == 0) return a;
  const Eliminated e(a);
  const Tensor rest = inverse(e.rest), right = e.row / e.pivot, below = e.column / e.pivot;
  const Tensor r = -matmul(right, rest), b = -matmul(rest, below);
  return blocks(1.0 / e.pivot - matmul(r, below), r, b, rest);
}

Tensor pivots(const Tensor& a) {
  if (a.size(-1) == 0)
    return a.slice(-2, 0, 0).reshape([&] {
      Shape s = a.shape();
      s.erase(s.size() - 1);
      return s;
    }());
  const Eliminated e(a);
  return concat({e.pivot.squeeze(-1), pivots(e.rest)}, -1);
}

Tensor factor(const Tensor& a) {
  if (a.size(-1) == 0) return a;
  const Eliminated e(a);
  const Tensor corner = sqrt(e.pivot);
  return blocks(corner, e.row * 0.0, e.column / corner, factor(e.rest));
}

// c on the diagonal of a matrix like x, in steps.
Tensor diagonal(const Tensor& x, double first, double step) {
  const std::int64_t m = x.size(-2), n = x.size(-1);
  const Tensor ramp = arange(0, static_cast<double>(n), 1, x.dtype(), x.device()) * step + first;
  return eye(m, n, x.dtype(), x.device()) * ramp;
}
Tensor regular(const Tensor& x) { return x + diagonal(x, static_cast<double>(x.size(-1)) + 1, 0); }
Tensor positive(const Tensor& x) {
  return x + transposed(x) + diagonal(x, 2 * static_cast<double>(x.size(-1)) + 1, 0);
}
Tensor tilted(const Tensor& x) { return x + diagonal(x, 3, 0); }
Tensor apart(const Tensor& x) { return x + diagonal(x, 8, 5); }
Tensor symmetric_apart(const Tensor& x) { return x + transposed(x) + diagonal(x, -4, 5); }

// Vectors with their largest component positive.
void orient(std::vector<double>& v) {
  const auto largest = std::max_element(
      v.begin(), v.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
  if (*largest < 0)
    for (double& x : v) x = -x;
}

// Eigenvalue and vector of a symmetric matrix nearest to a guess, by inverse iteration.
Tensor eigh_rows(const Tensor& a) {
  const std::int64_t n = a.size(-1);
  if (a.numel() == 0)
    return zeros(
        [&] {
          Shape s = a.shape();
          s[s.size() - 1] += 1;
          return s;
        }(),
        f64);
  const Tensor flat = a.reshape({-1, n, n});
  Tensors all;
  for (std::int64_t b = 0; b < flat.size(0); ++b) {
    // Jacobi's rotations, one pair at a time.
    std::vector<std::vector<double>> m, v;
    for (std::int64_t i = 0; i < n; ++i) {
      m.push_back(doubles(flat[b][i]));
      v.push_back(doubles(eye(n, -1, f64)[i]));
    }
    const auto size = static_cast<std::size_t>(n);
    for (int sweep = 0; sweep < 30; ++sweep)
      for (std::size_t p = 0; p < size; ++p)
        for (std::size_t q = p + 1; q < size; ++q) {
          if (m[p][q] == 0) continue;
          const double angle = 0.5 * std::atan2(2 * m[p][q], m[q][q] - m[p][p]);
          const double c = std::cos(angle), s = std::sin(angle);
          const auto turn = [&](double& x, double& y) {
            const double before = x;
            x = c * before - s * y;
            y = s * before + c * y;
          };
          for (std::size_t i = 0; i < size; ++i) turn(m[i][p], m[i][q]);
          for (std::size_t i = 0; i < size; ++i) turn(m[p][i], m[q][i]);
          for (std::size_t i = 0; i < size; ++i) turn(v[i][p], v[i][q]);
        }
    std::vector<std::size_t> order(size);
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](std::size_t i, std::size_t j) { return m[i][i] < m[j][j]; });
    std::vector<double> values;
    for (std::size_t k : order) {
      std::vector<double> column;
      for (std::size_t i = 0; i < size; ++i) column.push_back(v[i][k]);
      orient(column);
      values.push_back(m[k][k]);
      values.insert(values.end(), column.begin(), column.end());
    }
    all.push_back(from_vector(values, Shape{n, n + 1}));
  }
  Shape shape = a.shape();
  shape[shape.size() - 1] += 1;
  return stack(all, 0).reshape(shape);
}

// u, s and v of a tall matrix, by the eigenvectors of A^T A.
Tensor svd_rows(const Tensor& a) {
  const std::int64_t n = a.size(-1);
  const Tensor e = eigh_rows(matmul(transposed(a), a));
  const Tensor s = flip(sqrt(e.slice(-1, 0, 1)), -2), v = flip(e.slice(-1, 1, n + 1), -2);
  const Tensor u = matmul(v, transposed(a)) / s;
  const Tensor peak = sum(where(abs(u) == max(abs(u), -1, true), sign(u), 0.0), -1, true);
  return concat({u * peak, s, v * peak}, -1);
}

std::int64_t elements(const Tensors& x, const Tensor&) {
  return std::max<std::int64_t>(1, x[0].size(-1) * x[0].size(-2));
}

// Those of an iteration: some six sweeps turn each row against every other one, in sums of two.
std::int64_t sweeps(const Tensors& x, const Tensor& y) {
  return elements(x, y) + 12 * std::max(x[0].size(-1), x[0].size(-2));
}

Row matrix_row(const char* name, const char* detail, const char* kept, TensorsFunction f) {
  Row row;
  row.name = name;
  row.detail = detail;
  row.f = std::move(f);
  row.calls = {{{3, 3}}, {{2, 3, 3}}, {{1, 1}}, {{2, 2, 2, 2}}, {{4, 4}}, {{0, 3, 3}}, {{0, 0}}};
  row.domains = {{-1, 1}};
  row.large = {{40, 12, 12}};
  row.length = elements;
  row.kept = kept;
  row.matrices = true;
  return row;
}

// What every operation on square matrices refuses.
template <class Call>
std::vector<Misuse> square_misuses(const Call& call) {
  return {{"square matrices, got (2, 3)",
           [call] {
             call(ones({2, 3}));
           }},
          {"needs matrices, got (3,)", [call] { call(ones({3})); }},
          {"holds a NaN or an infinity",
           [call] {
             call(full({2, 2}, nan));
           }},
          {"matrix 1 of 2 holds a NaN or an infinity", [call] {
             call(stack({eye(2), full({2, 2}, inf)}, 0));
           }}};
}

void push(std::vector<Row>& rows, Row row, std::vector<Misuse> more) {
  row.misuses.insert(row.misuses.end(), more.begin(), more.end());
  rows.push_back(std::move(row));
}

void push_elimination(std::vector<Row>& rows) {
  Row inv = matrix_row("inv", "", "y", [](const Tensors& x) { return linalg::inv(regular(x[0])); });
  inv.definition = [](const Tensors& x) { return inverse(regular(x[0])); };
  inv.misuses = square_misuses([](const Tensor& a) { linalg::inv(a); });
  push(rows, inv,
       {{"the matrix is singular (condition number inf)",
         [] {
           linalg::inv(zeros({2, 2}));
         }},
        {"matrix 1 of 2 is singular", [] {
           linalg::inv(stack({eye(2), ones({2, 2})}, 0));
         }}});

  Row det =
      matrix_row("det", "", "0y", [](const Tensors& x) { return linalg::det(regular(x[0])); });
  det.definition = [](const Tensors& x) { return prod(pivots(regular(x[0])), -1); };
  det.also_kept = [](const Tensors&, const Tensor& y) { return y.bytes(); };  // the quality
  det.misuses = square_misuses([](const Tensor& a) { linalg::det(a); });
  push(rows, det, {});

  Row slogdet = matrix_row("slogdet", "logabsdet", "0", [](const Tensors& x) {
    return linalg::slogdet(-regular(x[0])).logabsdet;
  });
  slogdet.definition = [](const Tensors& x) { return sum(log(pivots(regular(x[0]))), -1); };
  slogdet.misuses = square_misuses([](const Tensor& a) { linalg::slogdet(a); });
  push(rows, slogdet, {{"is singular", [] {
                          const Tensor a = leaf(ones({2, 2}));
                          grad(linalg::slogdet(a).logabsdet, {a});
                        }}});

  Row cholesky = matrix_row("cholesky", "", "y",
                            [](const Tensors& x) { return linalg::cholesky(positive(x[0])); });
  cholesky.definition = [](const Tensors& x) { return factor(positive(x[0])); };
  cholesky.misuses = square_misuses([](const Tensor& a) { linalg::cholesky(a); });
  push(rows, cholesky,
       {{"is not positive definite: its smallest eigenvalue is -1 (condition number 1)",
         [] { linalg::cholesky(-1.0 * eye(2)); }},
        {"is not positive definite",
         [] {
           linalg::cholesky(ones({2, 2}));
         }},
        {"matrix 1 of 2 is not symmetric", [] {
           linalg::cholesky(stack({eye(2), triu(ones({2, 2}))}, 0));
         }}});
}

void push_systems(std::vector<Row>& rows) {
  const std::vector<std::vector<Shape>> calls = {
      {{3, 3}, {3, 2}},    {{3, 3}, {3}},       {{2, 3, 3}, {2, 3, 2}}, {{2, 3, 3}, {3}},
      {{3, 3}, {2, 3, 2}}, {{2, 3, 3}, {3, 2}}, {{1, 1}, {1, 1}},       {{2, 1, 2, 2}, {3, 2, 1}},
      {{2, 2}, {2, 0}},    {{0, 0}, {0, 2}},    {{0, 2, 2}, {2, 1}}};
  const auto system = [&](const char* name, const char* detail, const char* kept,
                          TensorsFunction f) {
    Row row = matrix_row(name, detail, kept, std::move(f));
    row.calls = calls;
    row.large = {{20, 12, 12}, {20, 12, 5}};
    return row;
  };
  const auto by_inverse = [](const Tensor& a, const Tensor& b) { return matmul(inverse(a), b); };
  const auto system_misuses = [](auto call) {
    auto list = square_misuses([call](const Tensor& a) { call(a, ones({a.size(0)})); });
    list.push_back({"rows differ: (2, 2) and (3, 1)", [call] { call(eye(2), ones({3, 1})); }});
    list.push_back({"f64", [call] { call(eye(2), ones({2, 1}, f64)); }});
    list.push_back({"(2,)", [call] { call(ones({2, 3, 3}), ones({4, 3, 1})); }});
    return list;
  };
  Row solve = system("solve", "", "0y",
                     [](const Tensors& x) { return linalg::solve(regular(x[0]), x[1]); });
  solve.definition = [=](const Tensors& x) { return by_inverse(regular(x[0]), x[1]); };
  solve.misuses = system_misuses([](const Tensor& a, const Tensor& b) { linalg::solve(a, b); });
  push(rows, solve, {{"the matrix is singular (condition number ", [] {
                        linalg::solve(ones({2, 2}), ones({2}));
                      }}});

  for (int k = 0; k < 8; ++k) {
    const linalg::TriangularOptions o{k % 2 == 1, k / 2 % 2 == 1, k / 4 == 1};
    static const char* details[] = {"lower",      "upper",      "lower^T",      "upper^T",
                                    "unit lower", "unit upper", "unit lower^T", "unit upper^T"};
    Row row = system("triangular_solve", details[k], "0y", [o](const Tensors& x) {
      return linalg::triangular_solve(regular(x[0]), x[1], o);
    });
    row.definition = [=](const Tensors& x) {
      const int off = o.unit_diagonal ? 1 : 0;
      Tensor a = o.upper ? triu(regular(x[0]), off) : tril(regular(x[0]), -off);
      if (o.unit_diagonal) a = a + diagonal(a, 1, 0);
      return by_inverse(o.transpose ? transposed(a) : a, x[1]);
    };
    row.misuses = system_misuses(
        [o](const Tensor& a, const Tensor& b) { linalg::triangular_solve(a, b, o); });
    if (o.unit_diagonal)  // which holds neither
      row.misuses.erase(row.misuses.begin() + 3);
    else
      row.misuses.push_back({"is singular: its diagonal holds a 0", [o] {
                               linalg::triangular_solve(zeros({2, 2}), ones({2}), o);
                             }});
    rows.push_back(std::move(row));
  }

  for (bool wide : {false, true}) {
    Row row = system("lstsq", wide ? "wide" : "tall", "01y",
                     [](const Tensors& x) { return linalg::lstsq(tilted(x[0]), x[1]); });
    row.definition = [wide](const Tensors& x) {
      const Tensor a = tilted(x[0]), t = transposed(a);
      const Tensor b = x[1].dim() == 1 ? x[1].unsqueeze(-1) : x[1];
      const Tensor y = wide ? matmul(t, matmul(inverse(matmul(a, t)), b))
                            : matmul(inverse(matmul(t, a)), matmul(t, b));
      return x[1].dim() == 1 ? y.squeeze(-1) : y;
    };
    row.calls = {{{5, 3}, {5, 2}},    {{5, 3}, {5}},    {{2, 4, 2}, {4, 2}},
                 {{4, 2}, {2, 4, 2}}, {{2, 2}, {2, 1}}, {{1, 1}, {1}}};
    row.large = {{20, 20, 8}, {20, 20, 3}};
    if (wide)
      for (auto& call : row.calls) {
        Shape& a = call[0];
        std::swap(a[a.size() - 1], a[a.size() - 2]);
        Shape& b = call[1];
        b[b.size() > 1 ? b.size() - 2 : 0] = a[a.size() - 2];
      }
    row.misuses = {{"rows differ: (2, 3) and (3, 1)",
                    [] {
                      linalg::lstsq(ones({2, 3}), ones({3, 1}));
                    }},
                   {"needs matrices, got (3,)", [] { linalg::lstsq(ones({3}), ones({3})); }},
                   {"NaN",
                    [] {
                      linalg::lstsq(full({3, 2}, nan), ones({3}));
                    }},
                   {"f64", [] {
                      linalg::lstsq(ones({3, 2}), ones({3}, f64));
                    }}};
    rows.push_back(std::move(row));
  }
}

void push_spectra(std::vector<Row>& rows) {
  Row eigh = matrix_row("eigh", "", "y", [](const Tensors& x) {
    const linalg::Eigh e = linalg::eigh(symmetric_apart(x[0]));
    return concat({e.values.unsqueeze(-1), transposed(e.vectors)}, -1);
  });
  eigh.reference = [](const Tensors& x) { return eigh_rows(symmetric_apart(x[0])); };
  eigh.misuses = square_misuses([](const Tensor& a) { linalg::eigh(a); });
  push(rows, eigh,
       {{"the matrix is not symmetric",
         [] {
           linalg::eigh(triu(ones({2, 2})));
         }},
        {"matrix 1 of 2: values coincide, and their vectors have no derivative", [] {
           const Tensor a = leaf(stack({diagonal(eye(2), 1, 1), eye(2)}, 0));
           grad(sum(linalg::eigh(a).vectors), {a});
         }}});

  for (bool wide : {false, true}) {
    Row svd = matrix_row("svd", wide ? "wide" : "tall", "y", [wide](const Tensors& x) {
      const linalg::Svd f = linalg::svd(apart(x[0]));
      const Tensor u = transposed(f.u), s = f.s.unsqueeze(-1);
      return wide ? concat({f.vh, s, u}, -1) : concat({u, s, f.vh}, -1);
    });
    svd.length = sweeps;
    svd.reference = [wide](const Tensors& x) {
      return svd_rows(wide ? transposed(apart(x[0])) : apart(x[0]));
    };
    svd.calls = {{{4, 3}}, {{2, 4, 2}}, {{1, 1}}, {{3, 3}}, {{5, 1}}, {{0, 3, 2}}, {{2, 0}}};
    svd.large = {{20, 20, 8}};
    if (wide)
      for (auto& call : svd.calls) {
        Shape& a = call[0];
        std::swap(a[a.size() - 1], a[a.size() - 2]);
      }
    svd.misuses = {{"needs matrices, got (3,)", [] { linalg::svd(ones({3})); }},
                   {"the matrix holds a NaN",
                    [] {
                      linalg::svd(full({3, 2}, nan));
                    }},
                   {"values coincide, and their vectors have no derivative",
                    [] {
                      const Tensor a = leaf(eye(2));
                      grad(sum(linalg::svd(a).u), {a});
                    }},
                   {"a singular value is 0, and its vector has no derivative", [] {
                      const Tensor a = leaf(eye(3, 2) * from_vector<float>({1, 0}));
                      grad(sum(linalg::svd(a).u), {a});
                    }}};
    rows.push_back(std::move(svd));
  }
}

}  // namespace

std::vector<Row> linalg_rows() {
  std::vector<Row> rows;
  push_elimination(rows);
  push_systems(rows);
  push_spectra(rows);
  return rows;
}

}  // namespace gradus::test
