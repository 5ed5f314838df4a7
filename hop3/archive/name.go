package archive

import (
	"path"
	"strconv"
	"strings"
)

// cleanName returns a member's name as a path within the tree, or refuses it.
func cleanName(name string) (string, error) {
	switch {
	case strings.ContainsRune(name, 0):
		return "", refuse("a name in it contains a NUL byte")
	case path.IsAbs(name):
		return "", refuse("%s is an absolute path", quote(name))
	case !climbless(name):
		return "", refuse("the path %s has '..' in it", quote(name))
	}
	return path.Clean(name), nil
}

// climbless reports whether no element of name is "..": also "a/../b", which
// would stay inside, is not what an honest tar has.
func climbless(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if element == ".." {
			return false
		}
	}
	return true
}

// inside reports whether a cleaned relative path does not climb out.
func inside(name string) bool {
	return name != ".." && !strings.HasPrefix(name, "../")
}

// quote makes a name of a stranger fit for a terminal.
func quote(name string) string {
	if len(name) > 120 {
		name = name[:120] + "…"
	}
	return strconv.Quote(name)
}
