#include "eval/int.h"
