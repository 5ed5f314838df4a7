package manifest

import "strings"

// Closest returns the word that a misspelt one was most likely meant to be, ""
// when none is near. The words are in lower case.
func Closest(word string, words []string) string { return closest(word, words) }

// closest returns the word that a misspelt one was most likely meant to be, ""
// when none is near.
func closest(word string, words []string) string {
	best, bestDistance := "", 3
	plain := strings.ReplaceAll(strings.ToLower(word), "_", "-")
	if len(plain) > 64 {
		return ""
	}
	for _, w := range words {
		if d := distance(plain, w); d < bestDistance && 2*d <= len(w) {
			best, bestDistance = w, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := diagonal
			if a[i-1] != b[j-1] {
				replace++
			}
			diagonal = row[j]
			row[j] = min(replace, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
