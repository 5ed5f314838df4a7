package git

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/utils/merkletrie"

	"github.com/abilian/hop3/hop3"
)

// Changes returns the files in which two commits differ, ordered by path, at
// most as many as asked for, and how many more there are. It reads trees, and no
// file's content. Revisions are as Commit's.
func (r *Repositories) Changes(ctx context.Context, app, from, to string, most int) (changes []hop3.FileChange, more int, err error) {
	var trees [2]*object.Tree
	for i, rev := range []string{from, to} {
		c, err := r.Commit(ctx, app, rev)
		if err != nil {
			return nil, 0, err
		}
		if trees[i], err = c.commit.Tree(); err != nil {
			return nil, 0, fmt.Errorf("reading the tree of %s: %w", rev, err)
		}
	}
	found, err := object.DiffTreeContext(ctx, trees[0], trees[1])
	if err != nil {
		return nil, 0, fmt.Errorf("comparing %s and %s: %w", from, to, err)
	}
	for _, change := range found {
		action, err := change.Action()
		if err != nil {
			return nil, 0, err
		}
		changes = append(changes, hop3.FileChange{
			Path: Printable(cmp.Or(change.To.Name, change.From.Name)),
			How:  map[merkletrie.Action]string{merkletrie.Insert: "added", merkletrie.Delete: "deleted", merkletrie.Modify: "changed"}[action],
		})
	}
	slices.SortFunc(changes, func(a, b hop3.FileChange) int { return cmp.Compare(a.Path, b.Path) })
	if len(changes) > most {
		changes, more = changes[:most], len(changes)-most
	}
	return changes, more, nil
}
