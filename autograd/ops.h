// Every public operation, one line of meaning and shapes each. Unless said otherwise operands are
// f32, f64 or bf16 of one dtype (nothing is promoted), shapes broadcast as NumPy's, results are new
// tensors, and each can be differentiated any number of times. Errors throw Error and name the
// operation.
#pragma once

#include <optional>

#include "gradus/autograd/graph.h"
#include "gradus/autograd/map.h"

namespace gradus {

// ---- elementwise, two operands; the operators + - * / are add sub mul div -----------------------
// add sub mul maximum minimum: also i32 and i64; a number beside a tensor of integers is whole.
GRADUS_API Tensor add(At a, At b);
GRADUS_API Tensor sub(At a, At b);
GRADUS_API Tensor mul(At a, At b);
GRADUS_API Tensor div(At a, At b);
GRADUS_API Tensor pow(At base, At exponent);  // NaN for a negative base and a fractional exponent
GRADUS_API Tensor maximum(At a, At b);        // NaN wins; at a tie a gets the gradient
GRADUS_API Tensor minimum(At a, At b);        // NaN wins; at a tie a gets the gradient
GRADUS_API Tensor add(At a, double b);
GRADUS_API Tensor sub(At a, double b);
GRADUS_API Tensor sub(double a, At b);
GRADUS_API Tensor mul(At a, double b);
GRADUS_API Tensor div(At a, double b);
GRADUS_API Tensor div(double a, At b);
GRADUS_API Tensor pow(At base, double exponent);
GRADUS_API Tensor maximum(At a, double b);  // f32 and f64; at a tie a gets the gradient
GRADUS_API Tensor minimum(At a, double b);

// ---- elementwise, one operand -------------------------------------------------------------------
GRADUS_API Tensor neg(At x);
GRADUS_API Tensor abs(At x);   // derivative 0 at 0
GRADUS_API Tensor sign(At x);  // derivative 0
GRADUS_API Tensor exp(At x);
GRADUS_API Tensor expm1(At x);
GRADUS_API Tensor log(At x);
GRADUS_API Tensor log1p(At x);
GRADUS_API Tensor sqrt(At x);
GRADUS_API Tensor rsqrt(At x);  // 1 / sqrt(x)
GRADUS_API Tensor square(At x);
GRADUS_API Tensor reciprocal(At x);
GRADUS_API Tensor sin(At x);
GRADUS_API Tensor cos(At x);
GRADUS_API Tensor tan(At x);
GRADUS_API Tensor tanh(At x);
GRADUS_API Tensor sigmoid(At x);
GRADUS_API Tensor softplus(At x);  // log(1 + exp(x))
GRADUS_API Tensor erf(At x);       // 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x
GRADUS_API Tensor erfc(At x);      // 1 - erf(x), without the cancellation
GRADUS_API Tensor ndtr(At x);      // Phi(x), the cdf of the standard normal distribution
GRADUS_API Tensor relu(At x);      // derivative 0 at 0
// x for x > 0, else slope x: the derivative at 0 is slope.
GRADUS_API Tensor leaky_relu(At x, double slope = 0.01);
// x for x > 0, else alpha (exp(x) - 1): the derivative at 0 is alpha.
GRADUS_API Tensor elu(At x, double alpha = 1.0);
GRADUS_API Tensor silu(At x);   // x sigmoid(x)
GRADUS_API Tensor floor(At x);  // derivative 0, as ceil's and round's
GRADUS_API Tensor ceil(At x);
GRADUS_API Tensor round(At x);  // half to even
// low <= high. The derivative is 1 inside and at the limits, 0 outside; NaN stays.
GRADUS_API Tensor clamp(At x, double low, double high);

// exact: x Phi(x). tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). sigmoid: x sigmoid(1.702
// x). (Hendrycks and Gimpel, 2016.)
enum class Gelu { exact, tanh, sigmoid };
GRADUS_API Tensor gelu(At x, Gelu form = Gelu::exact);

// condition is boolean; elements of a where true, of b elsewhere.
GRADUS_API Tensor where(At condition, At a, At b);
GRADUS_API Tensor where(At condition, At a, double b);
GRADUS_API Tensor where(At condition, double a, At b);
inline Tensor select(At condition, At a, At b) { return where(condition, a, b); }
inline Tensor select(At condition, At a, double b) { return where(condition, a, b); }
inline Tensor select(At condition, double a, At b) { return where(condition, a, b); }

// ---- comparisons: boolean results, any dtype (both the same) ------------------------------------
GRADUS_API Tensor less(At a, At b);
GRADUS_API Tensor less_equal(At a, At b);
GRADUS_API Tensor greater(At a, At b);
GRADUS_API Tensor greater_equal(At a, At b);
GRADUS_API Tensor equal(At a, At b);
GRADUS_API Tensor not_equal(At a, At b);
GRADUS_API Tensor less(At a, double b);
GRADUS_API Tensor less_equal(At a, double b);
GRADUS_API Tensor greater(At a, double b);
GRADUS_API Tensor greater_equal(At a, double b);
GRADUS_API Tensor equal(At a, double b);
GRADUS_API Tensor not_equal(At a, double b);
GRADUS_API Tensor logical_and(At a, At b);  // boolean operands
GRADUS_API Tensor logical_or(At a, At b);
GRADUS_API Tensor logical_not(At x);
GRADUS_API Tensor isfinite(At x);  // boolean, like isnan
GRADUS_API Tensor isnan(At x);
// |a - b| <= absolute + relative |b| for every element; false for other shapes and for NaN.
GRADUS_API bool all_close(const Tensor& a, const Tensor& b, double relative = 1e-5,
                          double absolute = 1e-8);

// ---- operators ----------------------------------------------------------------------------------
inline Tensor operator+(At a, At b) { return add(a, b); }
inline Tensor operator-(At a, At b) { return sub(a, b); }
inline Tensor operator*(At a, At b) { return mul(a, b); }
inline Tensor operator/(At a, At b) { return div(a, b); }
inline Tensor operator+(At a, double b) { return add(a, b); }
inline Tensor operator-(At a, double b) { return sub(a, b); }
inline Tensor operator*(At a, double b) { return mul(a, b); }
inline Tensor operator/(At a, double b) { return div(a, b); }
inline Tensor operator+(double a, At b) { return add(b, a); }
inline Tensor operator-(double a, At b) { return sub(a, b); }
inline Tensor operator*(double a, At b) { return mul(b, a); }
inline Tensor operator/(double a, At b) { return div(a, b); }
inline Tensor operator-(At x) { return neg(x); }
inline Tensor operator<(At a, At b) { return less(a, b); }
inline Tensor operator<=(At a, At b) { return less_equal(a, b); }
inline Tensor operator>(At a, At b) { return greater(a, b); }
inline Tensor operator>=(At a, At b) { return greater_equal(a, b); }
inline Tensor operator==(At a, At b) { return equal(a, b); }
inline Tensor operator!=(At a, At b) { return not_equal(a, b); }
inline Tensor operator<(At a, double b) { return less(a, b); }
inline Tensor operator<=(At a, double b) { return less_equal(a, b); }
inline Tensor operator>(At a, double b) { return greater(a, b); }
inline Tensor operator>=(At a, double b) { return greater_equal(a, b); }
inline Tensor operator==(At a, double b) { return equal(a, b); }
inline Tensor operator!=(At a, double b) { return not_equal(a, b); }
inline Tensor operator&(At a, At b) { return logical_and(a, b); }
inline Tensor operator|(At a, At b) { return logical_or(a, b); }
inline Tensor operator!(At x) { return logical_not(x); }

// ---- reductions over `axes` (all when none are given); keepdim leaves size-1 axes ---------------
GRADUS_API Tensor sum(At x, const Axes& axes = {}, bool keepdim = false);  // integers, boolean: i64
// mean, max, min, argmax: an empty axis is an error. Of nothing sum is 0 and prod is 1.
GRADUS_API Tensor mean(At x, const Axes& axes = {}, bool keepdim = false);
struct VarOptions {
  double correction = 1;  // divides by n - correction, which must be above 0
  bool keepdim = false;
};
GRADUS_API Tensor var(At x, const Axes& axes = {}, VarOptions options = {});  // centred, two passes
GRADUS_API Tensor max(At x, const Axes& axes = {}, bool keepdim = false);  // NaN wins; ties share
GRADUS_API Tensor min(At x, const Axes& axes = {}, bool keepdim = false);
GRADUS_API Tensor prod(At x, const Axes& axes = {}, bool keepdim = false);  // exact with zeros
// log of the sum of exp(x), shifted by the maximum.
GRADUS_API Tensor logsumexp(At x, const Axes& axes = {}, bool keepdim = false);
GRADUS_API Tensor argmax(At x, std::int64_t axis, bool keepdim = false);  // i64; first of equals
GRADUS_API Tensor argmax(At x);                     // into the flattened tensor
GRADUS_API Tensor cumsum(At x, std::int64_t axis);  // y[i] = x[0] + ... + x[i]
// Of boolean operands, boolean; of nothing any is false and all is true.
GRADUS_API Tensor any(At x, const Axes& axes = {}, bool keepdim = false);
GRADUS_API Tensor all(At x, const Axes& axes = {}, bool keepdim = false);

// ---- matrix products ----------------------------------------------------------------------------
// (..., m, k) x (..., k, n) -> (..., m, n), batch axes broadcast; a vector is a row on the left and
// a column on the right, and its axis is dropped again. No axes of size 0 are summed to anything
// but 0.
GRADUS_API Tensor matmul(At a, At b);
// x (..., in) times weight (out, in) transposed, plus bias (out); bias may be undefined.
GRADUS_API Tensor linear(At x, At weight, const Tensor& bias = {});

// ---- rows ---------------------------------------------------------------------------------------
// Along one axis, shifted by its maximum. -inf alone, or a +inf, gives NaN (0 / 0).
GRADUS_API Tensor softmax(At x, std::int64_t axis);
GRADUS_API Tensor log_softmax(At x, std::int64_t axis);
// Along the last axis, whose size gain and bias have; eps is above 0.
// (x - mean) / sqrt(variance + eps) gain + bias, the variance divided by n. (Ba et al., 2016.)
GRADUS_API Tensor layer_norm(At x, At gain, At bias, double eps = 1e-5);
// x / sqrt(mean(x^2) + eps) gain. (Zhang and Sennrich, 2019.)
GRADUS_API Tensor rms_norm(At x, At gain, double eps = 1e-5);

// ---- attention ----------------------------------------------------------------------------------
// Weights p_ij of query i for key j, over the keys that i attends to; they sum to 1.
// softmax: of scale q_i.k_j. relu: relu(q_i.k_j) / sum_l relu(q_i.k_l), which no positive scale of
// queries or keys changes (powers of 2 not by a bit), so none is applied.
enum class AttentionWeights { softmax, relu };
struct AttentionOptions {
  bool causal = false;  // the queries are the last of the keys, and none attends to a later key
  Tensor mask = {};     // boolean, true where attended; broadcasts to (batch, heads, queries, keys)
  std::optional<double> scale = {};  // above 0; 1 / sqrt(size) unless given
  AttentionWeights weights = AttentionWeights::softmax;
};
// q (batch, heads, queries, size), k (batch, key heads, keys, size), v (batch, key heads, keys,
// value size) -> (batch, heads, queries, value size). Fewer key heads, dividing the heads, serve
// groups of heads that follow each other. A query that attends to nothing, or whose relu weights
// are all 0, gives zeros and has zero gradients. What a mask hides must still be finite.
GRADUS_API Tensor attention(At q, At k, At v, const AttentionOptions& options = {});
// The weights themselves, (batch, heads, queries, keys).
GRADUS_API Tensor attention_weights(At q, At k, const AttentionOptions& options = {});

// ---- views and copies ---------------------------------------------------------------------------
// Of any dtype; tril and triu of f32 and f64. reshape copies where strides cannot express the
// shape, concat, stack, pad, tril and triu always; the others share memory.
GRADUS_API Tensor reshape(At x, const Shape& shape);  // one size may be -1
GRADUS_API Tensor transpose(At x, std::int64_t a, std::int64_t b);
GRADUS_API Tensor permute(At x, const Shape& axes);  // axis i of the result is axis axes[i] of x
GRADUS_API Tensor expand(At x, const Shape& shape);  // broadcasts to the shape; -1 keeps a size
GRADUS_API Tensor slice(At x, std::int64_t axis, std::int64_t start, std::int64_t stop,
                        std::int64_t step = 1);  // Python's rule for bounds; step may be negative
GRADUS_API Tensor flip(At x, std::int64_t axis);
// Shapes equal but along the axis.
GRADUS_API Tensor concat(const std::vector<Tensor>& tensors, std::int64_t axis,
                         Here here = Here::now());
// Equal shapes, along a new axis.
GRADUS_API Tensor stack(const std::vector<Tensor>& tensors, std::int64_t axis,
                        Here here = Here::now());
GRADUS_API std::vector<Tensor> split(At x, std::int64_t parts, std::int64_t axis);  // equal parts
GRADUS_API std::vector<Tensor> split(At x, const Shape& sizes, std::int64_t axis);
GRADUS_API Tensor pad(At x, const std::vector<std::pair<std::int64_t, std::int64_t>>& amounts,
                      double value = 0);  // {before, after} from the first axis on
// Of the last two axes, what lies on the diagonal (`diagonal` places to the right of the main one)
// and below it, or above it; 0 elsewhere.
GRADUS_API Tensor tril(At x, std::int64_t diagonal = 0);
GRADUS_API Tensor triu(At x, std::int64_t diagonal = 0);
// Windows of `size` along an axis, one every `step` elements: the axis counts the windows, and what
// each holds is a new last axis. A view: where windows overlap they share elements.
GRADUS_API Tensor unfold(At x, std::int64_t axis, std::int64_t size, std::int64_t step = 1);
// The sum of x over the axes along which `shape` broadcasts to it: broadcasting's adjoint.
GRADUS_API Tensor sum_to(At x, const Shape& shape);

// ---- indices (i64; out of range is an error that gives position, value and limit) ---------------
GRADUS_API Tensor gather(At x, std::int64_t axis,
                         At index);  // y[i][j] = x[index[i][j]][j] for axis 0
GRADUS_API Tensor index_select(At x, std::int64_t axis, At index);  // index of rank 1
GRADUS_API Tensor scatter_add(At x, std::int64_t axis, At index,
                              At source);        // gather's adjoint, onto x
GRADUS_API Tensor embedding(At weight, At ids);  // (rows, size), ids of any shape -> (..., size)
// ids of any shape -> (..., classes), of any dtype.
GRADUS_API Tensor one_hot(At ids, std::int64_t classes, DType dtype = DType::f32);

// ---- images: (batch, channels, height, width) ---------------------------------------------------
// Of both axes of an image, or one number for both.
struct HeightWidth {
  std::int64_t height, width;
  constexpr HeightWidth(std::int64_t both) : height(both), width(both) {}
  constexpr HeightWidth(std::int64_t h, std::int64_t w) : height(h), width(w) {}
};
struct Conv2dOptions {
  HeightWidth stride = 1, padding = 0, dilation = 1;  // padding: zeros on each side
  std::int64_t groups = 1;
};
// Cross-correlation: weight (out, channels / groups, height, width), bias (out) or undefined. Each
// axis becomes (n + 2 padding - dilation (size - 1) - 1) / stride + 1, rounded down.
GRADUS_API Tensor conv2d(At x, At weight, const Tensor& bias = {},
                         const Conv2dOptions& options = {});
struct Pool2dOptions {
  std::optional<HeightWidth> stride = {};  // the window's size unless given
  HeightWidth padding = 0;                 // at most half of the window
};
// The mean of each window; padding counts as zeros.
GRADUS_API Tensor avg_pool2d(At x, HeightWidth size, const Pool2dOptions& options = {});
// Every pixel repeated `factor` times along each axis.
GRADUS_API Tensor upsample(At x, HeightWidth factor);

// ---- losses: shapes must be equal, nothing broadcasts -------------------------------------------
enum class Reduction { mean, sum, none };
struct LossOptions {
  Reduction reduction = Reduction::mean;
};
GRADUS_API Tensor mse_loss(At prediction, At target, LossOptions options = {});
GRADUS_API Tensor l1_loss(At prediction, At target, LossOptions options = {});
// d^2 / 2 for |d| <= delta, delta (|d| - delta / 2) beyond.
GRADUS_API Tensor huber_loss(At prediction, At target, double delta = 1.0,
                             LossOptions options = {});
// logits (n, classes), target (n) i64 in [0, classes): logsumexp(row) - row[target], in nats.
GRADUS_API Tensor cross_entropy(At logits, At target, LossOptions options = {});
// log_probabilities (n, classes), target (n) i64: -row[target].
GRADUS_API Tensor nll_loss(At log_probabilities, At target, LossOptions options = {});
// -target log sigmoid(x) - (1 - target) log(1 - sigmoid(x)), in log space and nats; any target.
GRADUS_API Tensor binary_cross_entropy_with_logits(At logits, At target, LossOptions options = {});

}  // namespace gradus
