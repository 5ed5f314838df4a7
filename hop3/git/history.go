package git

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/abilian/hop3/hop3"
)

// LogEntry is one commit of a history.
type LogEntry struct {
	Hash    string
	Author  string
	Subject string
	Time    time.Time // of the commit, as its committer's clock had it
}

// Log returns the newest n commits that a revision leads to, newest first.
// Revisions are as Commit's.
func (r *Repositories) Log(ctx context.Context, app, rev string, n int) ([]LogEntry, error) {
	c, err := r.Commit(ctx, app, rev)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var entries []LogEntry
	iter := object.NewCommitIterCTime(c.commit, nil, nil)
	defer iter.Close()
	for len(entries) < n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		commit, err := iter.Next()
		// The end, or the edge of a shallow history.
		if err != nil {
			break
		}
		entries = append(entries, LogEntry{
			Hash:    commit.Hash.String(),
			Author:  Printable(commit.Author.Name),
			Subject: subject(commit.Message),
			Time:    commit.Committer.When,
		})
	}
	return entries, nil
}

// Commit returns a commit that is stored: by its hash, also abbreviated to at
// least 4 digits, or by the name of a branch, a tag, a full reference or HEAD.
// It returns a CodeNotFound error when there is none.
func (r *Repositories) Commit(_ context.Context, app, rev string) (*Commit, error) {
	dir, err := r.existing(app)
	if err != nil {
		return nil, err
	}
	store, err := r.store(app)
	if err != nil {
		return nil, err
	}
	hash, branch, err := resolve(store, rev)
	if err != nil {
		return nil, err
	}
	c := &Commit{repos: r, dir: dir, branch: branch, store: store, out: hop3.Discard}
	if err := c.load(hash); err != nil {
		return nil, err
	}
	return c, nil
}

// Stored is Commit by the full hash. What the checkout leaves out is told to
// out.
func (r *Repositories) Stored(ctx context.Context, app, commit string, out hop3.Output) (hop3.Source, error) {
	if !plumbing.IsHash(commit) {
		return nil, hop3.Errorf(hop3.CodeNotFound, "there is no commit %q", Printable(commit))
	}
	c, err := r.Commit(ctx, app, commit)
	if err != nil {
		return nil, err
	}
	c.out = out
	return c, nil
}

var abbreviated = regexp.MustCompile(`^[0-9a-f]{4,40}$`)

// resolve finds the hash a revision means, and the branch when it names one.
func resolve(store *filesystem.Storage, rev string) (hash, branch string, err error) {
	for _, prefix := range []string{"", "refs/heads/", "refs/tags/"} {
		name, err := refName(prefix + rev)
		if err != nil {
			continue
		}
		ref, err := storer.ResolveReference(store, name)
		if errors.Is(err, plumbing.ErrReferenceNotFound) {
			continue
		}
		if err != nil {
			return "", "", fmt.Errorf("reading %s: %w", name, err)
		}
		if ref.Name().IsBranch() {
			branch = ref.Name().Short()
		}
		return ref.Hash().String(), branch, nil
	}
	unknown := hop3.Errorf(hop3.CodeNotFound, "there is no commit, branch or tag %q", Printable(rev))
	if !abbreviated.MatchString(rev) {
		return "", "", unknown
	}
	if plumbing.IsHash(rev) {
		return rev, "", nil
	}
	return expand(store, rev, unknown)
}

// expand completes an abbreviated hash.
func expand(store *filesystem.Storage, rev string, unknown error) (string, string, error) {
	repo, err := gogit.Open(store, nil)
	if err != nil {
		return "", "", fmt.Errorf("opening the repository: %w", err)
	}
	h, err := repo.ResolveRevision(plumbing.Revision(rev))
	if err != nil || !strings.HasPrefix(h.String(), rev) {
		return "", "", unknown
	}
	return h.String(), "", nil
}
