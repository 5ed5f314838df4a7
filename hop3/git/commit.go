package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git/hook"
)

// The largest objects that are decoded in this process. A real commit or tree
// is far below; a crafted one must not take the server's memory.
const (
	maxCommitObject = 1 << 20
	maxTreeObject   = 16 << 20
)

// Commit is a commit as a hop3.Source. Its methods are safe for concurrent use.
type Commit struct {
	repos      *Repositories
	dir        string // the repository
	quarantine string // where its objects may still be; "" once stored
	branch     string
	out        hop3.Output

	mu     sync.Mutex // go-git's stores are for one goroutine
	store  storer.EncodedObjectStorer
	commit *object.Commit
	trees  map[plumbing.Hash]*object.Tree
}

var _ hop3.Source = (*Commit)(nil)

// newPush makes what PreReceive gets of what the hook said.
func (r *Repositories) newPush(e *expectation, q *hook.Request, out hop3.Output) (hop3.Push, error) {
	if q.Quarantine != "" && !validQuarantine(q.Quarantine, e.dir) {
		return hop3.Push{}, fmt.Errorf("the hook of %s names %q as its quarantine", e.app, q.Quarantine)
	}
	commit := func(_ context.Context, hash string) (hop3.Source, error) {
		c := &Commit{repos: r, dir: e.dir, quarantine: q.Quarantine, branch: branchOf(q.Updates, hash), out: out}
		store, err := r.store(e.app)
		if err != nil {
			return nil, err
		}
		c.store = store
		if q.Quarantine != "" {
			c.store = withQuarantine(store, q.Quarantine)
		}
		if err := c.load(hash); err != nil {
			return nil, err
		}
		return c, nil
	}
	return hop3.Push{Updates: q.Updates, Options: q.Options, Commit: commit}, nil
}

// branchOf returns the first branch that a push moves to hash.
func branchOf(updates []hop3.RefMove, hash string) string {
	for _, u := range updates {
		if branch, ok := strings.CutPrefix(u.Name, "refs/heads/"); ok && u.New == hash {
			return branch
		}
	}
	return ""
}

// load finds the commit a full hash names, following tags.
func (c *Commit) load(hash string) error {
	if !plumbing.IsHash(hash) {
		return hop3.Errorf(hop3.CodeInvalid, "%q is not the hash of a commit", Printable(hash))
	}
	h := plumbing.NewHash(hash)
	for range 8 { // a tag of a tag of a tag…
		size, err := c.store.EncodedObjectSize(h)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return hop3.Errorf(hop3.CodeNotFound, "there is no commit %s", hash)
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", h, err)
		}
		obj, err := c.store.EncodedObject(plumbing.AnyObject, h)
		if err != nil {
			return fmt.Errorf("reading %s: %w", h, err)
		}
		if t := obj.Type(); t != plumbing.CommitObject && t != plumbing.TagObject || size > maxCommitObject {
			break
		}
		if obj.Type() == plumbing.CommitObject {
			c.commit, err = object.DecodeCommit(c.store, obj)
			return err
		}
		tag, err := object.DecodeTag(c.store, obj)
		if err != nil {
			return fmt.Errorf("reading %s: %w", h, err)
		}
		h = tag.Target
	}
	return hop3.Errorf(hop3.CodeInvalid, "%s is not a commit", hash)
}

// Describe returns a release with what the commit says: Commit, Branch, Author
// and Subject. Branch is that of the push, or of the revision asked for.
func (c *Commit) Describe(context.Context) (hop3.Release, error) {
	return hop3.Release{
		Commit:  c.commit.Hash.String(),
		Branch:  c.branch,
		Author:  Printable(c.commit.Author.Name),
		Subject: subject(c.commit.Message),
	}, nil
}

// Open returns the commit's files. It reads objects as they are asked for.
func (c *Commit) Open(context.Context) (fs.FS, error) {
	return treeFS{c}, nil
}

// tree returns a tree of the commit. The caller holds c.mu.
func (c *Commit) tree(h plumbing.Hash) (*object.Tree, error) {
	if t := c.trees[h]; t != nil {
		return t, nil
	}
	size, err := c.store.EncodedObjectSize(h)
	if err != nil {
		return nil, fmt.Errorf("reading tree %s: %w", h, err)
	}
	if size > maxTreeObject {
		return nil, hop3.Errorf(hop3.CodeInvalid, "a directory of the commit has too many files")
	}
	t, err := object.GetTree(c.store, h)
	if err != nil {
		return nil, fmt.Errorf("reading tree %s: %w", h, err)
	}
	if c.trees == nil || len(c.trees) > 256 {
		c.trees = map[plumbing.Hash]*object.Tree{}
	}
	c.trees[h] = t
	return t, nil
}

func subject(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	return Printable(line)
}
