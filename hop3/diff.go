package hop3

// Difference is a property in which two releases differ.
type Difference struct {
	Property string // "Process web", "Variable COLOUR"
	Old, New string // "" where one of them has none
}

// FileChange is a file in which two commits differ.
type FileChange struct {
	Path string
	How  string // "added", "changed", "deleted"
}
