package hop3

import "context"

// Push is a git push before any reference has moved: its objects are on the
// server, in quarantine, and vanish when the push is refused.
type Push struct {
	// Updates are the references the pusher wants to move, in the order they
	// were asked for; a deletion has a New of all zeros. Names come from the
	// pusher, checked by git to be well-formed and nothing more.
	Updates []RefMove
	// Options are the values of git push -o, in order.
	Options []string
	// Commit returns a commit of the push, or one stored already, by its full
	// hash or that of a tag of it. What it returns reads the quarantine: it
	// is of no use once the push was refused.
	Commit func(ctx context.Context, hash string) (Source, error)
}

// Create reports whether the move makes a new reference.
func (m RefMove) Create() bool { return zeroHash(m.Old) }

// Delete reports whether the move deletes the reference.
func (m RefMove) Delete() bool { return zeroHash(m.New) }

func zeroHash(h string) bool {
	for _, c := range h {
		if c != '0' {
			return false
		}
	}
	return h != ""
}
