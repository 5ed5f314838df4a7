package rpc

import (
	"mime"
	"net/http"

	"github.com/abilian/hop3/hop3"
)

// exportAddon answers with all that an addon holds, as it is read: of any size,
// which an answer of /rpc is not. When it cannot go on, the connection breaks,
// so that nobody takes a part for the whole.
func (h *Handler) exportAddon(w http.ResponseWriter, r *http.Request, id identity) {
	addon := hop3.AddonID{Type: r.PathValue("type"), Name: r.PathValue("name")}
	name := mime.FormatMediaType("attachment", map[string]string{"filename": addon.Name})
	out := &begun{ResponseWriter: w}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", name)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _, err := h.Platform.ExportAddon(r.Context(), id.actor(), addon, out)
	switch {
	case err == nil:
	case out.written:
		h.log(r, err)
		panic(http.ErrAbortHandler)
	default:
		w.Header().Del("Content-Disposition")
		h.fail(w, r, err)
	}
}

// importAddon replaces all that an addon holds by the body, as it comes: of any
// size, which a request to /rpc is not.
func (h *Handler) importAddon(w http.ResponseWriter, r *http.Request, id identity) {
	addon := hop3.AddonID{Type: r.PathValue("type"), Name: r.PathValue("name")}
	if err := h.Platform.ImportAddon(r.Context(), id.actor(), addon, r.Body); err != nil {
		h.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// begun notes whether an answer has begun.
type begun struct {
	http.ResponseWriter
	written bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.written = b.written || len(p) > 0
	return b.ResponseWriter.Write(p)
}
