// The table of operations: a row for each way of calling each public operation. The generic tests
// loop over it; a new operation adds its rows and nothing else (a test compares the table with the
// names of autograd/ops.h).
#pragma once

#include "gradus/tests/support.h"

namespace gradus::test {

// Where an input's values are drawn from.
struct Domain {
  double low = -2, high = 2;
  std::vector<double> kinks = {};  // no value within 0.15 of these
  bool distinct = false;           // all at least 0.15 apart, in random order
};

// A point on the line where value and derivatives are known in closed form. Orders that are not
// listed are not compared; a NaN must be a NaN, and `why` says why.
struct Edge {
  double x;
  std::vector<double> orders;  // y, y', y'', y'''
  const char* why = "";
};

// A wrong call: the error begins with "name: " and holds `rule`.
struct Misuse {
  std::string rule;
  std::function<void()> call;
};

struct Row {
  std::string name = {};    // of the function in ops.h or linalg.h
  std::string detail = {};  // what this row calls
  TensorsFunction f = {};
  // Shapes of the floating inputs, several calls; and their domains, the last one for all further.
  std::vector<std::vector<Shape>> calls = {};
  std::vector<Domain> domains = {Domain{}};
  std::vector<Shape> large = {};  // a call that takes several tiles

  // The value without the library: of one element, or of the whole, in f64.
  std::function<double(const double* x)> scalar = {};
  TensorsFunction reference = {};
  // A fused operation in primitives.
  TensorsFunction definition = {};

  bool differentiable = true;
  bool one_rounding =
      false;               // in bf16: what f32 gives, rounded once; so is all that is elementwise
  bool any_dtype = false;  // moves or counts elements of any dtype
  bool matrices = false;   // f makes its first input a regular matrix; NaN in one is refused
  bool views = false;      // its result shares memory
  std::int64_t (*length)(const Tensors& x, const Tensor& y) = nullptr;  // K of single(K); null: 1
  // Bytes the node keeps, from input and output sizes: digits for inputs, y for the output; other
  // bytes are added (f64).
  std::string kept = "";
  std::function<std::int64_t(const Tensors& x, const Tensor& y)> also_kept = {};

  std::vector<Edge> edges = {};
  std::vector<Misuse> misuses = {};

  std::string label() const { return detail.empty() ? name : name + " (" + detail + ")"; }
  bool elementwise() const { return static_cast<bool>(scalar); }
};

const std::vector<Row>& table();

// The devices the loops run on: those there are, or those of GRADUS_TEST_DEVICES ("cpu,emulated").
const std::vector<Device>& tested_devices();
// The table, computed on a device: inputs and results travel, layouts are kept, so that a loop
// works as if everything lay on the CPU.
const std::vector<Row>& table_on(Device device);

// The parts of the table.
std::vector<Row> elementwise_rows();
std::vector<Row> binary_rows();
std::vector<Row> reduction_rows();
std::vector<Row> view_rows();
std::vector<Row> index_rows();
std::vector<Row> fused_rows();
std::vector<Row> attention_rows();
std::vector<Row> image_rows();
std::vector<Row> linalg_rows();

// A row whose reference is of the whole.
Row row_of(const char* name, const char* detail, TensorsFunction f, TensorsFunction reference,
           std::vector<std::vector<Shape>> calls, std::vector<Shape> large,
           std::vector<Misuse> misuses);

// Inputs of call `call` of a row, f64, outside of any graph; the same for the same numbers.
Tensors sample(const Row& row, std::size_t call, std::uint64_t seed = 1);
Tensors sample_of(const Row& row, const std::vector<Shape>& shapes, std::uint64_t seed = 1);
Tensors leaves(const Tensors& x, DType dtype = f64);

// Rows, named, for EXPECT output.
template <class Body>
void for_rows_on(Device device, const Body& body) {
  for (const Row& row : table_on(device)) {
    std::ostringstream text;
    text << row.label() << " on " << device;
    SCOPED_TRACE(text.str());
    try {
      body(row);
    } catch (const std::exception& e) {
      ADD_FAILURE() << text.str() << ": " << e.what();
    }
  }
}
// What concerns the graph and not the kernels needs one device.
template <class Body>
void for_rows_on_cpu(const Body& body) {
  for_rows_on(Device::cpu, body);
}
template <class Body>
void for_rows(const Body& body) {
  for (const Device device : tested_devices()) for_rows_on(device, body);
}
template <class Body>
void for_calls(const Row& row, const Body& body) {
  for (std::size_t call = 0; call < row.calls.size(); ++call) {
    std::ostringstream text;
    text << row.label() << ", call " << call << ':';
    for (const Shape& s : row.calls[call]) text << ' ' << s;
    SCOPED_TRACE(text.str());
    try {
      body(call);
    } catch (const std::exception& e) {
      ADD_FAILURE() << text.str() << ": " << e.what();
    }
  }
}

}  // namespace gradus::test
