package org.example.shop;

import java.math.BigDecimal;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * What is on the shelves of a shop, and for how much – prices are in €.
 *
 * @since 1.2
 */
public final class Inventory {

    private static final int LOW = 3;

    private final Map<String, Item> items = new LinkedHashMap<>();

    /** One kind of goods; müssen, naïve and 日本 are names too. */
    public record Item(String name, int count, BigDecimal price) {

        public Item {
            Objects.requireNonNull(name, "name");
            if (count < 0) {
                throw new IllegalArgumentException("count must not be negative: " + count);
            }
        }

        boolean isLow() {
            return this.count <= LOW;
        }
    }

    public void put(final String name, final int count, final String price) {
        final Item before = items.get(name);
        final int sum = before == null ? count : before.count() + count;
        items.put(name, new Item(name, sum, new BigDecimal(price)));
    }

    public Optional<Item> find(final String name) {
        return Optional.ofNullable(items.get(name));
    }

    public BigDecimal total() {
        BigDecimal total = BigDecimal.ZERO;
        for (final Item item : items.values()) {
            total = total.add(item.price().multiply(BigDecimal.valueOf(item.count())));
        }
        return total;
    }

    @Override
    public String toString() {
        final StringBuilder text = new StringBuilder("Inventory[");
        items.forEach((name, item) -> text.append(name).append('=').append(item.count()).append(' '));
        return text.append(']').toString();
    }
}
