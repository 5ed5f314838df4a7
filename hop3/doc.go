// Package hop3 is the ground floor: the words every other package speaks.
//
// One noun a file: a struct, its validation and, for what plug-ins implement,
// the contract. It imports nothing but the standard library, and everything
// else in the module may import it.
package hop3
