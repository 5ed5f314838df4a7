package hop3

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// scpForm is user@host:path, as git has it besides URLs.
var scpForm = regexp.MustCompile(`^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^:]+$`)

// ValidateRepoURL reports a CodeInvalid error unless address can be that of a
// repository to fetch: a URL of scheme http, https, git or ssh, or
// user@host:path. Nothing in it can be taken for an option, or for one of git's
// helpers that run programs and read files.
func ValidateRepoURL(address string) error {
	bad := func(why string) error {
		return Errorf(CodeInvalid, "%q cannot be the address of a repository: %s", shorten(RedactRepoURL(address), 200), why).
			WithHint("An address looks like https://example.com/team/app.git.")
	}
	switch {
	case address == "" || len(address) > 2000:
		return bad("its length is not right")
	case strings.HasPrefix(address, "-"):
		return bad("it begins with '-'")
	case strings.ContainsFunc(address, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) || c == '\\' }):
		return bad("it contains blanks, control characters or backslashes")
	case scpForm.MatchString(address):
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || !strings.Contains(address, "://") {
		return bad("it is no URL")
	}
	switch u.Scheme {
	case "http", "https", "git", "ssh":
	default:
		return bad("the scheme is none of http, https, git and ssh")
	}
	host := u.Hostname()
	switch {
	case host == "" || strings.HasPrefix(host, "-"):
		return bad("it names no host")
	case strings.Trim(u.Path, "/") == "":
		return bad("it names no repository on the host")
	case u.RawQuery != "" || u.Fragment != "":
		return bad("it has a query or a fragment")
	}
	return nil
}

// RedactRepoURL returns the address without a user and password that may be in
// it.
func RedactRepoURL(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	host, tail, slash := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if slash {
		tail = "/" + tail
	}
	return scheme + "://" + host + tail
}

// AppNameOf returns the name that an app from this address would have: the last
// part of its path. It need not be a valid name.
func AppNameOf(address string) string {
	address = strings.TrimRight(address, "/")
	if i := strings.LastIndexByte(address, ':'); i >= 0 && !strings.Contains(address, "://") {
		address = address[i+1:]
	}
	return strings.TrimSuffix(path.Base(address), ".git")
}

// LooksLikeRepoURL reports whether a word is meant as the address of a
// repository, right or wrong, and not as a name or a directory.
func LooksLikeRepoURL(word string) bool {
	return strings.Contains(word, "://") || strings.Contains(word, "::") || scpForm.MatchString(word)
}
