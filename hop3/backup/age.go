package backup

import (
	"os"
	"strings"

	"filippo.io/age"

	"github.com/abilian/hop3/hop3"
)

// parseRecipient reads an age recipient.
func parseRecipient(text string) (age.Recipient, error) {
	list, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil || len(list) != 1 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%.80q is no age recipient: it begins with age1", text).
			WithHint("`age-keygen` makes one; keep its identity off this server, and where you find it again.")
	}
	return list[0], nil
}

// CheckRecipients reports a CodeInvalid error unless all are age recipients.
func CheckRecipients(texts []string) error {
	for _, text := range texts {
		if _, err := parseRecipient(text); err != nil {
			return err
		}
	}
	return nil
}

// identities reads the file of identities anew each time: it may be there only
// while it is needed.
func (s *Store) identities() ([]age.Identity, error) {
	const hint = "Put the identity into a file that only this server's user may read, and its path into BACKUP_AGE_IDENTITY."
	if s.identity == "" {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "The backup is encrypted, and this server has no identity to decrypt it.").WithHint(hint)
	}
	f, err := os.Open(s.identity)
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "The backup is encrypted, and the server's identity cannot be read: %w.", err).WithHint(hint)
	}
	defer f.Close()
	list, err := age.ParseIdentities(f)
	if err != nil { // which is not told: it may quote the secret
		return nil, hop3.Errorf(hop3.CodeUnavailable, "The file of BACKUP_AGE_IDENTITY has no age identity that can be read.").WithHint(hint)
	}
	return list, nil
}

// CanDecrypt reports whether this server has what it takes to read a backup.
func (s *Store) CanDecrypt() bool {
	_, err := s.identities()
	return err == nil
}
