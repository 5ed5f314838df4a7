package hop3

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"time"
)

// Preview says what an app that serves another branch of an app is.
type Preview struct {
	Parent  string // the app whose branch it is
	Branch  string
	Expires time.Time // then it is destroyed
}

// previewSeparator stands between the branch and the app in the name of a
// preview. No other app's host label contains it.
const previewSeparator = "--"

// maxPreviewApp is how long the host label of an app may be that has previews:
// what is left of the 63 octets of a DNS label must tell branches apart.
const maxPreviewApp = 40

// branchHash is how many digits of a branch's hash tell it from another whose
// label would be the same.
const branchHash = 8

// hashed is what only a label with a hash looks like.
var hashed = regexp.MustCompile(`(^|-)[0-9a-f]{8}$`)

// PreviewName returns the name of the preview of a branch of an app:
// <branch>--<app>, which is also its DNS label. A branch that is a label of
// letters, digits and single dashes keeps its name; of any other, and of one too
// long, what can stay stays and a hash of the branch follows, so that no two
// branches share a name.
func PreviewName(app, branch string) (string, error) {
	app = HostLabel(app)
	if len(app) > maxPreviewApp {
		return "", Errorf(CodeInvalid, "'%s' cannot have previews: its name is longer than %d characters", app, maxPreviewApp)
	}
	room := 63 - len(previewSeparator) - len(app)
	label := branchLabel(branch)
	if label != branch || len(label) > room || hashed.MatchString(label) || label == "xn" { // xn-- begins an encoded name
		sum := sha256.Sum256([]byte(branch))
		hash := hex.EncodeToString(sum[:])[:branchHash]
		label = strings.TrimRight(label[:min(len(label), room-branchHash-1)], "-")
		if label != "" {
			label += "-"
		}
		label += hash
	}
	return label + previewSeparator + app, nil
}

// branchLabel turns what cannot be in a DNS label into single dashes.
func branchLabel(branch string) string {
	var b strings.Builder
	dash := false
	for _, c := range strings.ToLower(branch) {
		if c < 'a' || c > 'z' {
			if c < '0' || c > '9' {
				dash = true
				continue
			}
		}
		if dash && b.Len() > 0 {
			b.WriteByte('-')
		}
		dash = false
		b.WriteRune(c)
	}
	return b.String()
}

// ReservedAppName reports whether only a preview may have the name.
func ReservedAppName(name string) bool { return strings.Contains(HostLabel(name), previewSeparator) }
