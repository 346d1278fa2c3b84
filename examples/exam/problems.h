// The ledger's pages, one for each problem.
#pragma once

#include "examples/exam/ledger.h"

namespace gradus::exam {

std::vector<Statement> flow_maps();            // D1
std::vector<Statement> log_normals();          // D2
std::vector<Statement> adversarial_games();    // D3
std::vector<Statement> noise_schedules();      // D4
std::vector<Statement> networks();             // M9, M12, M26, M27, M29, M32, M33
std::vector<Statement> eigenvalue_problems();  // M10
std::vector<Statement> activations();          // M34
std::vector<Statement> chains();               // M39 to M42

}  // namespace gradus::exam
