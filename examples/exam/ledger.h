// The ledger of the exams: each statement of docs/exam.md as a function that gathers evidence for
// it.
//
//   void change_of_scale(Exam& exam) {
//     const Tensor x = exam.tensor({1, 2}).requires_grad_();
//     const double factor = exam.seeded("a wrong sign", 3., -3.);
//     exam.compare("d(3x)/dx",
//                  {.autodiff = grad(sum(3 * x), {x})[0],
//                   .closed = {factor, factor},
//                   .independent = each_of({1, 2}, [](double at) {
//                     return difference_of([](double t) { return 3 * t; }, at);
//                   })},
//                  derivative(), difference());
//   }
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "examples/common/page.h"
#include "gradus/gradus.h"

namespace gradus::exam {

// Numbers to compare, in f64 on the host: none, one, several, or a tensor's elements in order.
struct Values : std::vector<double> {
  Values() = default;
  Values(double number) : vector{number} {}
  Values(std::initializer_list<double> numbers) : vector(numbers) {}
  Values(std::vector<double> numbers) : vector(std::move(numbers)) {}
  Values(const Tensor& tensor);
};

// What an error may be, by the names of docs/exam.md: absolute + relative * |closed form|, or a
// bound of its own for each element. Differences and quadratures are relative to the largest of the
// numbers.
struct Tolerance {
  std::string name;
  double relative = 0, absolute = 0;
  Values bounds = {};
  bool of_largest = false;
  double bound(const Values& closed, std::size_t i) const;
};
Tolerance identity();                     // of a value that is its own largest term
Tolerance identity(const Values& terms);  // the sums of the terms' magnitudes
Tolerance derivative();
Tolerance difference(int order = 4);
Tolerance difference(int order, const Values& terms);  // where what is differenced is larger
Tolerance single(double length, const Values& terms);  // f32 beside f64
Tolerance quadrature();
Tolerance vanishing();  // of a gradient; then
Tolerance converged();
Tolerance simulation(const Values& standard_errors);
Tolerance kolmogorov_smirnov();  // of D √n
Tolerance ulps(double count, const Values& exact, DType dtype);
Tolerance slope();
Tolerance exactly();
// Another bound, which the statement or its reference number states; never under a name above.
Tolerance stated(const std::string& name, const Values& bounds);

// One comparison. Where there are several elements, the numbers are those of the worst.
struct Evidence {
  std::string what;
  Values autodiff = {}, closed = {}, independent = {};  // as given
  std::size_t worst = 0;                                // the element shown
  double error = 0, bound = 0;                          // at that element
  std::string tolerance = {}, facts = {};
  bool ok = false;
};

struct Statement;

// What a check is given, and what it gathers.
class Exam {
 public:
  Exam(Device where, bool is_quick, std::string fault = "");

  const Device device;
  const bool quick;  // smaller sizes, the same claims

  // On the exam's device.
  Tensor tensor(const std::vector<double>& values, DType dtype = f64) const;
  Tensor tensor(const std::vector<double>& values, const Shape& shape, DType dtype = f64) const;

  struct Numbers {
    Values autodiff = {}, closed = {}, independent = {};
  };
  // The library's numbers and the independent ones, each against the closed form; where one of the
  // three is missing, the other two. A single closed number stands for all elements.
  void compare(const std::string& what, const Numbers& numbers, const Tolerance& tolerance,
               const Tolerance& of_independent = {});
  // A fact that is true or not.
  void holds(const std::string& what, bool truth, const std::string& facts = "");
  // The call throws Error, and its text holds each of the words.
  void refuses(const std::string& what, const std::function<void()>& call,
               const std::vector<std::string>& words);
  // A picture, for the page.
  void show(const examples::Chart& chart) { pictures.push_back(examples::svg(chart)); }
  void show(const examples::Cells& cells) { pictures.push_back(examples::svg(cells)); }

  // The right value, or, where this fault is seeded, the wrong one: a verdict that could not fail
  // would say nothing.
  template <class T>
  T seeded(const std::string& name, T right, T wrong) {
    faults.push_back(name);
    return name == fault_ ? wrong : right;
  }

  std::vector<Evidence> evidence;
  std::vector<std::string> pictures;  // SVG
  std::vector<std::string> faults;    // those that could have been seeded
  bool passed() const;

 private:
  std::string fault_;
};

struct Statement {
  std::string id, claim;  // the claim in one line
  std::string statement;  // the same in full, in the project's words
  std::string formula;    // for mathml()
  void (*check)(Exam&);
  std::string remark = "";  // where the paper's own solution needs a word
};

// All of them, in the order of the papers.
const std::vector<Statement>& ledger();

// Runs the check; an exception becomes evidence against it.
Exam examine(const Statement& statement, Device device, bool quick, const std::string& fault = "");

}  // namespace gradus::exam
