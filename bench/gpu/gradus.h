// Our side of compare.py: work on tensors of a device, as functions of C that ctypes can call. All
// work runs on one stream, gradus_stream(), on which the peer works too, so that one pair of events
// times either. Functions that fail return null or -1; gradus_error() then says why.
#pragma once

#include <cstdint>

extern "C" {

// A contiguous tensor of the caller's, read before the call returns. It lies, as all of the
// caller's memory does, on the GPU; on the host where the library runs on "emulated" or "cpu".
struct GradusArray {
  const void* data;
  const std::int64_t* sizes;
  std::int32_t rank;
  std::int32_t dtype;  // a gradus::DType
};
struct GradusJob;

// "cuda", "emulated" or "cpu": where all that follows runs.
int gradus_open(const char* device);
void* gradus_stream();  // null where there are no streams
const char* gradus_error();

// Of one array of x's size moved by a call of an operation, forward or with its backward; below 0
// where it is not in the table of bench/peers/operations.cpp.
double gradus_arrays(const char* operation, int backward);

// The work `name` on copies of the inputs, `sets` of them, which calls take in turn. Inputs, after
// x and where the operation takes it a second operand:
//   OPERATION            of the table; results are its value
//   OPERATION/backward   the incoming gradient; results are gradients of the floating operands
//   nn, nt, tn, tt       a, b: products of matrices as they are stored, f32 or bf16
//   rand, randn          x says the shape
//   adam                 gradients of x; the result is x
//   vae                  parameters in the order of their model, x, noise of some steps: the first
//                        call trains with that, and its result are the losses; later ones draw
// With `graph` the calls on all sets are one graph.
GradusJob* gradus_prepare(const char* name, const GradusArray* inputs, int count, int sets,
                          int graph);
// Starts as many calls; with a graph, the next multiple of `sets`.
int gradus_run(GradusJob*, std::int64_t calls);
// Writes NaN where the next call's results may come to lie.
int gradus_poison(GradusJob*);
// The number of elements of a result of the last call on the first set, or -1; the elements, as
// f32.
std::int64_t gradus_result_size(GradusJob*, int index);
int gradus_result(GradusJob*, int index, void* to);
void gradus_destroy(GradusJob*);
// Waits for the device, and throws what kernels found.
int gradus_synchronize();

}  // extern "C"
