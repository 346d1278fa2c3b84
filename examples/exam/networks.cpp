// M9, M12, M26, M27, M29, M32, M33: what networks compute, what they see, and what it costs.
#include <cmath>

#include "examples/exam/problems.h"
#include "examples/exam/witness.h"

namespace gradus::exam {
namespace {

Tensor noise(Exam& exam, const Shape& shape, std::uint64_t seed) {
  Generator generator(seed);
  return randn(shape, generator, DType::f64).to(exam.device);
}

void relu_attention(Exam& exam) {
  const std::int64_t n = 6, d = 4;
  const Tensor q = noise(exam, {1, 1, n, d}, 1), k = noise(exam, {1, 1, n, d}, 2);
  const Tensor v = noise(exam, {1, 1, n, d}, 3);
  const auto weights =
      exam.seeded("softmax in its place", AttentionWeights::relu, AttentionWeights::softmax);
  const AttentionOptions scale_free{.weights = weights};
  const Tensor p = attention_weights(q, k, scale_free);
  const Values qs = q, ks = k;
  Values closed, terms;  // terms: the magnitudes of what is summed to a weight
  for (std::size_t i = 0; i < 6; ++i) {
    double row[6], size[6], total = 0, total_size = 0;
    for (std::size_t j = 0; j < 6; ++j) {
      double dot = size[j] = 0;
      for (std::size_t c = 0; c < 4; ++c) {
        dot += qs[4 * i + c] * ks[4 * j + c];
        size[j] += std::abs(qs[4 * i + c] * ks[4 * j + c]);
      }
      total += row[j] = std::max(0.0, dot), total_size += size[j];
    }
    for (std::size_t j = 0; j < 6; ++j) {
      closed.push_back(row[j] / total);
      terms.push_back((size[j] + closed.back() * total_size) / total);
    }
  }
  exam.compare("P = ReLU(QKᵀ) over its row sums", {.autodiff = p, .closed = closed},
               identity(terms));
  exam.compare("rows sum to 1", {.autodiff = sum(p, -1), .closed = 1.}, identity());
  exam.compare("P unchanged under Q → 8Q, K → K/4, bit for bit",
               {.autodiff = attention_weights(8.0 * q, 0.25 * k, scale_free), .closed = p},
               exactly());
  exam.compare("and under Q → 3.7 Q",
               {.autodiff = attention_weights(3.7 * q, k, scale_free), .closed = p},
               identity(terms));

  const auto euler = [&](AttentionWeights kind) {
    const Tensor a = q.detach().requires_grad_(), b = k.detach().requires_grad_();
    const Tensor loss = sum(square(attention(a, b, v, {.weights = kind})));
    const std::vector<Tensor> g = grad(loss, {a, b});
    Values rows = sum(g[0] * a, -1);
    rows.push_back(Values(sum(g[1] * b))[0]);
    return rows;
  };
  exam.compare("Euler: ⟨∂L/∂qᵢ, qᵢ⟩ = 0 for each query, and Σ⟨∂L/∂k_j, k_j⟩ = 0",
               {.autodiff = euler(weights), .closed = 0.}, derivative());
  bool softmax_fails = true;
  for (const double x : euler(AttentionWeights::softmax))
    softmax_fails = softmax_fails && std::abs(x) > 1e-3;
  exam.holds("softmax attention has no such identity", softmax_fails);

  // Queries that meet no key: all products negative, or all masked.
  const Tensor away = (-1.0 * abs(q)).requires_grad_(), ahead = abs(k);
  const Tensor nothing = attention(away, ahead, v, scale_free);
  const Tensor slope = grad(sum(nothing), {away})[0];
  exam.compare("a row whose denominator is 0 gives zeros", {.autodiff = nothing, .closed = 0.},
               exactly());
  exam.compare("and zero gradients", {.autodiff = slope, .closed = 0.}, exactly());
  const Tensor hidden =
      expand(zeros({1, 1, 1, n}), {1, 1, n, n}).to(DType::boolean).to(exam.device);
  for (const AttentionWeights kind : {AttentionWeights::relu, AttentionWeights::softmax})
    exam.compare("a row that is masked whole gives zeros",
                 {.autodiff = attention(q, k, v, {.mask = hidden, .weights = kind}), .closed = 0.},
                 exactly());
}

// The operations of matrix products that a call runs.
template <class Call>
double products(const Call& call) {
  const NoGrad off;
  Ledger ledger;
  call();
  return static_cast<double>(ledger.total(Work::product).operations);
}

void masked_attention_costs(Exam& exam) {
  const std::int64_t d = 4;
  const double power = exam.seeded("another power", 2., 1.);
  for (const bool causal : {false, true}) {
    Values counted, closed;
    for (const std::int64_t n : {8, 16, 32, 64}) {
      const Tensor x = noise(exam, {1, 1, n, d}, 5);
      counted.push_back(products([&] { attention(x, x, x, {.causal = causal}); }));
      closed.push_back(4 * std::pow(static_cast<double>(n), power) * static_cast<double>(d));
    }
    exam.compare(causal ? "under a causal mask: 4n²d" : "without a mask: 4n²d",
                 {.autodiff = counted, .closed = closed}, exactly());
  }
}

void encoder_costs(Exam& exam) {
  Values counted, closed;
  const std::int64_t four = exam.seeded("another factor", 4, 2);
  for (const auto& [N, S, D] :
       {std::array<std::int64_t, 3>{1, 8, 16}, {2, 8, 16}, {1, 16, 16}, {1, 8, 32}, {3, 12, 8}}) {
    Generator generator(4);
    nn::TransformerBlock layer(D, 2, generator);
    nn::to(layer, exam.device);
    const Tensor x = randn({N, S, D}, generator).to(exam.device);
    counted.push_back(products([&] { layer(x); }));
    closed.push_back(static_cast<double>(N * (24 * S * D * D + four * S * S * D)));
  }
  exam.compare("operations of matrix products: N (24SD² + 4S²D)",
               {.autodiff = counted, .closed = closed}, exactly());
}

void pooling_sees_more(Exam& exam) {
  Generator generator(6);
  const Tensor weight = randn({1, 1, 3, 3}, generator, DType::f64).to(exam.device);
  const std::int64_t pool = exam.seeded("pooling of one", std::int64_t{2}, std::int64_t{1});
  const Tensor x = noise(exam, {1, 1, 10, 10}, 7);
  const auto convolved = [&](const Tensor& image) { return conv2d(image, weight); };
  const auto pooled = [&](const Tensor& image) { return avg_pool2d(conv2d(image, weight), pool); };
  const auto side = [](const ReceptiveField& field) {
    return Values{static_cast<double>(field.size[2]), static_cast<double>(field.size[3])};
  };
  exam.compare("after a 3×3 convolution the field is 3×3",
               {.autodiff = side(receptive_field(convolved, x, {0, 0, 2, 2})), .closed = {3, 3}},
               exactly());
  // By moving one pixel at a time.
  const Values before = pooled(x);
  int rows = 0;
  for (int i = 0; i < 10; ++i) {
    Values moved = x;
    for (std::size_t j = 0; j < 10; ++j) moved[static_cast<std::size_t>(10 * i) + j] += 1;
    const Values after = pooled(exam.tensor(moved, {1, 1, 10, 10}));
    const std::size_t place = static_cast<std::size_t>(2 / pool * (8 / pool) + 2 / pool);
    rows += after[place] != before[place];
  }
  const std::int64_t at = 2 / pool;
  exam.compare("with 2×2 pooling behind it 4×4",
               {.autodiff = side(receptive_field(pooled, x, {0, 0, at, at})),
                .closed = {4, 4},
                .independent = {double(rows), double(rows)}},
               exactly());
  for (const bool behind : {false, true}) {
    const Tensor at_x = x.detach().requires_grad_();
    const Tensor y = behind ? pooled(at_x) : convolved(at_x);
    const std::int64_t place = behind ? at : 2;
    const Tensor seen = grad(y[0][0][place][place], {at_x})[0];
    exam.show(examples::Cells{behind ? "|∂/∂x|, pooled" : "|∂/∂x|, convolved", 10, Values(seen)});
  }
  const Tensor pixel = noise(exam, {1, 1, 1, 1}, 8);
  const auto corner = [](const Tensor& image) { return avg_pool2d(upsample(image, 2), 2); };
  exam.compare(
      "the corner case: one pixel, upsampled and pooled, is the whole image before and after",
      {.autodiff = side(receptive_field(corner, pixel, {0, 0, 0, 0})), .closed = {1, 1}},
      exactly());
}

void not_jointly_convex(Exam& exam) {
  const Tensor w = noise(exam, {2, 3}, 9), z = noise(exam, {2, 3}, 10);
  const Tensor x = exam.tensor({0.5, -1.0}), y = exam.tensor({1.3, 0.4});
  // y W Z^T x with y, x vectors of 2: bilinear in (W, Z).
  const auto f = [&](const std::vector<Tensor>& p) {
    const Tensor score = sum(matmul(y, p[0]) * matmul(x, p[1]));
    return exam.seeded("a convex function", false, true) ? sum(square(p[0])) + sum(square(p[1]))
                                                         : score;
  };
  const Tensor joint = linalg::eigh(hessian_matrix(f, {w, z})).values;
  // The Hessian is [[0, C], [C^T, 0]], C = y x^T kron I_3: eigenvalues +-|x||y|, three times each,
  // and 0.
  const double size = std::sqrt((1.69 + 0.16) * (0.25 + 1.0));
  exam.compare("the joint Hessian's least and largest eigenvalue: ∓|x||y|",
               {.autodiff = {Values(joint)[0], Values(joint).back()}, .closed = {-size, size}},
               derivative());
  // Independent: second differences along the direction of the least eigenvalue.
  const Values all = linalg::eigh(hessian_matrix(f, {w, z})).vectors;
  const auto along = [&](double t) {
    Values moved_w = w, moved_z = z;
    for (std::size_t i = 0; i < 6; ++i)
      moved_w[i] += t * all[12 * i], moved_z[i] += t * all[12 * (i + 6)];
    return Values(f({exam.tensor(moved_w, {2, 3}), exam.tensor(moved_z, {2, 3})}))[0];
  };
  exam.compare("its curvature by differences",
               {.closed = -size, .independent = along(1) - 2 * along(0) + along(-1)},
               difference(2));
  for (const int which : {0, 1}) {
    const auto alone = [&](const std::vector<Tensor>& p) {
      return f(which ? std::vector<Tensor>{w, p[0]} : std::vector<Tensor>{p[0], z});
    };
    const Values values = linalg::eigh(hessian_matrix(alone, {which ? z : w})).values;
    exam.holds(which ? "convex in Z alone" : "convex in W alone", values[0] >= -1e-13,
               "least eigenvalue " + std::to_string(values[0]));
  }
  const auto squared = [&](const std::vector<Tensor>& p) {
    return square(sum(matmul(y, p[0]) * matmul(x, p[1])) - 1.0);
  };
  const Values bent = linalg::eigh(hessian_matrix(squared, {0.1 * w, 0.1 * z})).values;
  exam.holds("nor is its squared error jointly convex", bent[0] < -1e-3,
             "least eigenvalue " + std::to_string(bent[0]));
}

void teacher_forcing(Exam& exam) {
  Generator generator(11);
  const nn::TransformerOptions options{
      .vocabulary = 11, .context = 8, .size = 16, .heads = 2, .layers = 2, .dtype = DType::f64};
  nn::Transformer model(options, generator);
  nn::to(model, exam.device);
  const Tensor ids =
      from_vector<std::int64_t>({3, 1, 4, 1, 5, 9, 2, 6}).reshape({1, 8}).to(exam.device);
  const Tensor all = model(ids);
  const Tensor embedded = model.embed(ids).detach();
  const bool causal = exam.seeded("no mask", true, false);
  const auto f = [&](const Tensor& e) {
    return causal ? model.decode(e) : model.decode(flip(e, 1));
  };
  const Causality found = causality(f, embedded, 1);
  exam.holds("∂logits_t/∂x_s = 0 for s > t, exactly", found.causal,
             found.causal ? ""
                          : "place " + std::to_string(found.output) + " sees " +
                                std::to_string(found.input));
  // Tokens changed from t on do not move a bit before t.
  const Tensor changed =
      from_vector<std::int64_t>({3, 1, 4, 1, 5, 0, 7, 8}).reshape({1, 8}).to(exam.device);
  exam.compare("other tokens later: no bit changes before",
               {.autodiff = model(changed).slice(1, 0, 5), .closed = all.slice(1, 0, 5)},
               exactly());
  nn::Transformer::Cache cache;
  std::vector<Tensor> one_by_one;
  for (std::int64_t t = 0; t < 8; ++t) one_by_one.push_back(model(ids.slice(1, t, t + 1), cache));
  exam.compare("one pass = token by token with a cache",
               {.autodiff = concat(one_by_one, 1), .closed = all}, derivative());
}

void fixed_norm(Exam& exam) {
  const std::int64_t m = 4, d = 3;
  const Tensor W = noise(exam, {m, d}, 12), v = noise(exam, {m}, 13), x = noise(exam, {d}, 14);
  const Tensor gamma = noise(exam, {m}, 15), beta = exam.tensor({0.5, -1.2, 2.0, 0.8});
  for (const bool centred : {false, true}) {
    const nn::FixedNormActivation phi =
        centred ? nn::FixedNormActivation::centred(beta) : nn::FixedNormActivation(gamma, beta);
    const std::string name = centred ? ", γ the mean" : ", γ fixed";
    const auto of_input = [&](const Tensor& t) {
      const Tensor y = sum(v * phi(matmul(W, t)));
      return exam.seeded("a bend", false, true) ? y + 0.01 * sum(square(t)) : y;
    };
    exam.compare("the Hessian in x is 0" + name, {.autodiff = hessian(of_input, x), .closed = 0.},
                 derivative());
    const auto loss = [&](const Tensor& weights) {
      return square(sum(v * phi(matmul(weights.reshape({m, d}), x))) - 0.7);
    };
    const Tensor h = hessian(loss, W.reshape({m * d}));
    Values u, closed;
    const Values vs = v, bs = beta, xs = x;
    double mean = 0;
    for (std::size_t i = 0; i < 4; ++i) mean += centred ? vs[i] / bs[i] / 4 : 0;
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t j = 0; j < 3; ++j) u.push_back((vs[i] / bs[i] - mean) * xs[j]);
    for (const double a : u)
      for (const double b : u) closed.push_back(2 * a * b);
    exam.compare("the Hessian in vec W is 2uuᵀ" + name, {.autodiff = h, .closed = closed},
                 derivative());
    const Values values = linalg::eigh(h).values;
    double square_sum = 0;
    for (const double a : u) square_sum += 2 * a * a;
    exam.compare("of rank 1 and not negative" + name,
                 {.autodiff = {values[0], values[values.size() - 2], values.back()},
                  .closed = {0, 0, square_sum}},
                 identity({square_sum}));
  }
  exam.refuses("β₂ = 0",
               [&] {
                 nn::FixedNormActivation(gamma, exam.tensor({0.5, 0, 2.0, 0.8}));
               },
               {"beta"});
  // The controls: jointly in (W, v) it is not convex, and with a batch's own deviation not affine.
  const auto joint = [&](const std::vector<Tensor>& p) {
    return square(sum(p[1] * ((matmul(p[0], x) - gamma) / beta)) - 0.7);
  };
  const Values values = linalg::eigh(hessian_matrix(joint, {W, v})).values;
  exam.holds("in (W, v) together it is not convex", values[0] < -1e-3);
  const auto batch_norm = [&](const Tensor& t) {
    const Tensor z = matmul(stack({t, x * 0.3, x * x}, 0), W.transpose(0, 1));
    return sum(v * ((z - mean(z, 0)) / sqrt(var(z, 0)))[0]);
  };
  double bend = 0;
  for (const double value : Values(hessian(batch_norm, x))) bend = std::max(bend, std::abs(value));
  exam.holds("with the batch's own deviation it is not affine", bend > 1e-3);
  const nn::FixedNormActivation alone = nn::FixedNormActivation::centred(exam.tensor({0.5}));
  exam.compare("m = 1 with γ the mean: f ≡ 0",
               {.autodiff = alone(noise(exam, {5, 1}, 16)), .closed = 0.}, exactly());
}

}  // namespace

std::vector<Statement> networks() {
  return {
      {"M9", "ReLU attention: rows of P sum to 1, no scale changes P",
       "Weights that are positive parts over their sum do not notice how large queries and keys "
       "are, so gradients are orthogonal to them; softmax weights do.",
       "p_{ij} = \\frac{ReLU(q_i·k_j)}{∑_l ReLU(q_i·k_l)}", relu_attention,
       "The paper assumes denominators of 0 away; here such a row gives zeros and zero gradients."},
      {"M12", "masked attention costs O(n²)",
       "A mask hides products, it does not save them: the ledger counts as many with it as "
       "without.",
       "4 n^2 d", masked_attention_costs},
      {"M26", "2×2 pooling with stride 2 grows the receptive field",
       "The field is read off the support of an input gradient: from 3 to 4. The exception is a "
       "field that is already the whole image.",
       "r = 3 → r + (2 - 1) = 4", pooling_sees_more,
       "A judgement in the paper; both cases are shown."},
      {"M27", "an encoder pass costs O(NLSD² + NLS²D)",
       "One pass of N sequences of S tokens through a layer with a 4D-wide MLP; the library's "
       "ledger counts the operations of its matrix products exactly.",
       "N (24 S D^2 + 4 S^2 D)", encoder_costs},
      {"M29", "f(y W Zᵀ x) is not jointly convex in (W, Z)",
       "A bilinear function has curvature of both signs; in each factor alone it is linear.",
       "λ_{min}(∇^2 f) = -|x||y| < 0", not_jointly_convex},
      {"M32", "GPT training is teacher-forced under a causal mask",
       "One pass over the true tokens gives each place what it would have had with the past alone.",
       "\\frac{∂ logits_t}{∂ x_s} = 0 , s > t", teacher_forcing},
      {"M33", "φ(z) = (z-γ)/β: f is affine in x, (f-y)² convex in W",
       "Batch norm with fixed statistics, or with the mean of the sample's own units, is no "
       "activation: the network stays affine, its loss a parabola of rank one.",
       "∇_x^2 f = 0 , ∇_W^2 (f - y)^2 = 2 u u^⊤ , u = \\frac{v}{β} ⊗ x", fixed_norm,
       "In the last part γ is linear in x, not part of the constant; so u has its mean removed."},
  };
}

}  // namespace gradus::exam
