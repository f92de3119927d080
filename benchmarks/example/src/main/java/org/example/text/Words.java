package org.example.text;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Splits text into words and puts them together again.
 */
public class Words {

    private final String separator;

    /**
     * Creates an instance for the given separator.
     *
     * @param separator the separator between two words, not null
     */
    public Words(final String separator) {
        this.separator = Objects.requireNonNull(separator, "separator");
    }

    /**
     * Joins the words, leaving out those that are empty.
     *
     * @param words the words to join, may be null
     * @return the joined text, {@code null} if null array input
     */
    public String join(final String[] words) {
        if (words == null) {
            return null;
        }
        final StringBuilder builder = new StringBuilder();
        for (int i = 0; i < words.length; i++) {
            if (words[i] != null && !words[i].isEmpty()) {
                if (builder.length() > 0) {
                    builder.append(separator);
                }
                builder.append(words[i]);
            }
        }
        return builder.toString();
    }

    /**
     * Splits a text at each separator.
     *
     * @param text the text to split, not null
     * @return the words of the text, not null
     */
    public List<String> split(final String text) {
        final List<String> words = new ArrayList<>();
        int start = 0;
        int end = text.indexOf(separator);
        while (end >= 0) {
            words.add(text.substring(start, end));
            start = end + separator.length();
            end = text.indexOf(separator, start);
        }
        words.add(text.substring(start));
        return words;
    }
}
