package git

import (
	"path"
	"strings"
)

// maxLinkHops is how many links the kernel follows in one path.
const maxLinkHops = 40

// linkError says why a path cannot be followed within its tree.
type linkError string

func (e linkError) Error() string { return string(e) }

const (
	errEscapes linkError = "leads out of the app's directory"
	errLoops   linkError = "has too many levels of symbolic links"
)

// follow resolves a slash-separated path below the root of a tree, component by
// component as the kernel does: "d/.." is not the root when d is a link. target
// returns where a path points to, "" for what is no link. The result has no
// links in it; it need not exist.
func follow(name string, target func(name string) (string, error)) (string, error) {
	pending := strings.Split(name, "/")
	at, hops := "", 0
	for len(pending) > 0 {
		part := pending[0]
		pending = pending[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return "", errEscapes
			}
			at = parent(at)
			continue
		}
		next := path.Join(at, part)
		link, err := target(next)
		if err != nil {
			return "", err
		}
		if link == "" {
			at = next
			continue
		}
		if hops++; hops > maxLinkHops {
			return "", errLoops
		}
		if path.IsAbs(link) {
			return "", errEscapes
		}
		pending = append(strings.Split(link, "/"), pending...)
	}
	return at, nil
}

func parent(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}
